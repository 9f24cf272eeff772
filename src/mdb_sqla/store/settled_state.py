"""What is settled on the primary server, for readers that write nothing.

Such a reader has no row of its own as a witness. So the standby must belong to the same system, and
its last restart point must be on the timeline of the primary server, which takes until the next
restart point after a promotion.
"""

from __future__ import annotations

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

from mdb_sqla.database.citus import Unoffered, refuse_on_citus
from mdb_sqla.database.execution import WRITES, Database, connection_of, execute, qualified
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.store.standby_reads import HORIZON, Refusal, check_standby, evidence, horizon_of

__all__ = ["SettledState"]

_system = select(column("system_identifier", BigInteger)).select_from(
    func.pg_catalog.pg_control_system().alias("control_system")
)
_timeline = select(column("timeline_id", Integer)).select_from(
    func.pg_catalog.pg_control_checkpoint().alias("control_checkpoint")
)
_table = cast(cast(cast(bindparam("messages", type_=Text), REGCLASS), OID), BigInteger)
_database = func.pg_catalog.current_database(type_=Text)

_ASK = select(
    func.pg_catalog.pg_current_xact_id_if_assigned().is_not(None).label("has_written"),
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


class SettledState:
    """What is settled on the primary server now.

    Args:
        primary: a session or connection of the primary server.
        category: the category to read; None for all.

    Attributes:
        horizon: up to where to read; None if there is nothing to read.

    Raises:
        InvalidArgument: the transaction on the primary server has written something.
        NotOffered: the store is distributed with Citus.
    """

    def __init__(self, primary: Database, category: str | None = None) -> None:
        refuse_on_citus(primary, Unoffered.STANDBYS)
        parameters = {
            "messages": qualified(connection_of(primary), "messages"),
            "horizon_categories": None if category is None else [category],
        }
        row: Any = execute(primary, _ASK, parameters, WRITES)[0]
        if row[0]:
            # Its own writers are not among those that it waits for.
            raise InvalidArgument(
                "The transaction on the primary server must have written nothing, because a "
                "standby lacks what is not committed: commit first, or read from the primary server"
            )
        self._server = {"system": row[1], "database": row[2], "table": row[3]}
        self.horizon = horizon_of(row[4:])

    def refusal(self, standby: Database, max_wait: float) -> Refusal | None:
        """Let a transaction on a standby read what is settled, or return why it can't.

        Args:
            standby: a session or connection of the standby.
            max_wait: how long to wait for locks, in seconds.
        """
        assert self.horizon is not None  # noqa: S101 (the caller has checked)
        witness = {**self._server, "timeline": int(self.horizon.timeline, 16)}
        return check_standby(standby, self.horizon, max_wait, _EVIDENCE, witness)[0]
