"""Transactions on a standby in which readers that write nothing read exactly."""

from __future__ import annotations

import time

from mdb_sqla.database.execution import Database, connection_of
from mdb_sqla.errors import ReadNotExact
from mdb_sqla.store.settled_state import SettledState
from mdb_sqla.store.standby_reads import Refusal, flush

__all__ = ["StandbyTransactions"]

_PAUSE = 0.02  # seconds between two looks at the standby


class StandbyTransactions:
    """Lets transactions on a standby read what is settled on the primary server now.

    Args:
        primary: a session or connection of the primary server.
        category: the category to read; None for all.
        max_wait: how long the standby may lag, in seconds.

    Raises:
        InvalidArgument: the transaction on the primary server has written something.
        NotOffered: the store is distributed with Citus.
    """

    def __init__(self, primary: Database, category: str | None, max_wait: float) -> None:
        self._primary = primary
        self._max_wait = max_wait
        self._settled = SettledState(primary, category)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to read."""
        return self._settled.horizon is None

    def begin(self, standby: Database) -> None:
        """Let the transaction that begins on a standby read up to what is settled.

        Raises:
            ReadNotExact: the server is no standby of the primary server, or lags.
        """
        horizon = self._settled.horizon
        assert horizon is not None  # noqa: S101 (the caller has checked)
        deadline = time.monotonic() + self._max_wait
        refusal = self._settled.refusal(standby, self._max_wait)
        if refusal is Refusal.LAGS:
            # Not in the caller's transaction, which may stay open.
            with connection_of(self._primary).engine.begin() as connection:
                flush(horizon, connection)
        while refusal is Refusal.LAGS:
            if time.monotonic() >= deadline:
                raise ReadNotExact(
                    f"The standby must replay what is settled within {self._max_wait:g} seconds: "
                    "it lags, or has another history"
                )
            time.sleep(_PAUSE)  # the server has no event for it
            refusal = self._settled.refusal(standby, self._max_wait)
        if refusal is Refusal.IS_NO_STANDBY:
            raise ReadNotExact("The server to read from must be a standby, and is none")
        if refusal is Refusal.LACKS_MESSAGE:
            raise ReadNotExact(
                f"The standby must have message {horizon.position}, which was the last one, and "
                "lacks it: it was deleted since, the standby has another history, or the isolation "
                "level on the standby is not READ COMMITTED; export again"
            )
        if refusal is not None:
            raise ReadNotExact(
                "The server to read from must be a standby of this database's primary server, with "
                f"a restart point on timeline {int(horizon.timeline, 16)}: after a promotion, run "
                "CHECKPOINT on the standby"
            )
