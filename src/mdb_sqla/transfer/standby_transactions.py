"""Transactions on a standby in which readers that write nothing read exactly.

Such a reader has no row of its own as a witness. So the standby must belong to the same system, and
its last restart point must be on the timeline of the primary server, which takes until the next
restart point after a promotion.
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import (
    BigInteger,
    Integer,
    Text,
    and_,
    bindparam,
    cast,
    column,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import OID, REGCLASS

from mdb_sqla.database.execution import WRITES, Database, connection_of, execute, qualified
from mdb_sqla.errors import ReadNotExact
from mdb_sqla.store.standby_reads import (
    FLUSH,
    HORIZON,
    evidence,
    evidence_parameters,
    horizon_of,
    progress,
)

__all__ = ["StandbyTransactions"]

_PAUSE = 0.02  # seconds between two looks at the standby

_system = select(column("system_identifier", BigInteger)).select_from(
    func.pg_catalog.pg_control_system().alias("control_system")
)
_timeline = select(column("timeline_id", Integer)).select_from(
    func.pg_catalog.pg_control_checkpoint().alias("control_checkpoint")
)
_table = cast(cast(cast(bindparam("messages", type_=Text), REGCLASS), OID), BigInteger)
_database = func.pg_catalog.current_database(type_=Text)

_ASK = select(
    _system.scalar_subquery().label("system"),
    _database.label("database"),
    _table.label("table"),
    *HORIZON.c,
).select_from(HORIZON)

_EVIDENCE = evidence(
    and_(
        _system.scalar_subquery() == bindparam("system", type_=BigInteger),
        _timeline.scalar_subquery() == bindparam("timeline", type_=Integer),
        _database == bindparam("database", type_=Text),
        _table == bindparam("table", type_=BigInteger),
    )
)


class StandbyTransactions:
    """Lets transactions on a standby read what is settled on the primary server now.

    Args:
        primary: a session or connection of the primary server.
        category: the category to read; None for all.
        max_wait: how long the standby may lag, in seconds.
    """

    def __init__(self, primary: Database, category: str | None, max_wait: float) -> None:
        self._primary = primary
        self._max_wait = max_wait
        parameters = {
            "messages": qualified(connection_of(primary), "messages"),
            "horizon_categories": None if category is None else [category],
        }
        row: Any = execute(primary, _ASK, parameters, WRITES)[0]
        self._server = {"system": row[0], "database": row[1], "table": row[2]}
        self._horizon = horizon_of(row[3:])

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to read."""
        return self._horizon is None

    def begin(self, standby: Database) -> None:
        """Let the transaction that begins on a standby read up to what is settled.

        Raises:
            ReadNotExact: the server is no standby of the primary server, or lags.
        """
        horizon = self._horizon
        assert horizon is not None  # noqa: S101 (the caller has checked)
        deadline = time.monotonic() + self._max_wait
        is_standby, has_replayed = progress(standby, horizon, self._max_wait)
        if is_standby and not has_replayed:
            # Not in the caller's transaction, which may stay open.
            with connection_of(self._primary).engine.begin() as connection:
                execute(connection, FLUSH, {"wal_position": horizon.wal_position}, WRITES)
        while is_standby and not has_replayed:
            if time.monotonic() >= deadline:
                raise ReadNotExact(
                    f"The standby must replay what is settled within {self._max_wait:g} seconds: "
                    "it lags, or has another history"
                )
            time.sleep(_PAUSE)  # the server has no event for it
            is_standby, has_replayed = progress(standby, horizon, self._max_wait)
        if not is_standby:
            raise ReadNotExact("The server to read from must be a standby, and is none")
        parameters = {
            **self._server,
            "timeline": int(horizon.timeline, 16),
            **evidence_parameters(connection_of(standby), horizon),
        }
        row: Any = execute(standby, _EVIDENCE, parameters, WRITES)[0]
        if not (row[0] and row[1]):
            raise ReadNotExact(
                "The server to read from must be a standby of this database's primary server, with "
                f"a restart point on timeline {parameters['timeline']}: after a promotion, run "
                "CHECKPOINT on the standby"
            )
