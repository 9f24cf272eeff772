"""Exact reads from a standby: what is asked on the primary server, and checked on the standby.

The primary server first returns up to which message everything is settled, and then how far its log
is written. All commits of these messages are in the log up to there: a transaction reserves
the space of its commit record before others see what it has committed, even if it does not wait
until the record is on disk.

A standby that has replayed its log up to there shows all of them, if its log is the same. This must
be checked, because after a failover a standby of the old primary may have replayed another log. So
it must also show the witness, a row that the reader has written on the primary server since its
last promotion, and the message up to which everything is settled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    Text,
    bindparam,
    case,
    cast,
    func,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import OID, REGCLASS
from sqlalchemy.types import UserDefinedType

from mdb_sqla.column_types import uuid_of
from mdb_sqla.database.execution import WRITES, Database, execute, qualified
from mdb_sqla.function_call import call
from mdb_sqla.store.stored_message import is_stored, parameters_of
from mdb_sqla.tables import messages

__all__ = [
    "FLUSH",
    "HORIZON",
    "Horizon",
    "evidence",
    "evidence_parameters",
    "horizon_of",
    "progress",
    "remains_standby",
]


class Horizon(NamedTuple):
    """Up to where a read from a standby is exact.

    Attributes:
        position: the global position of the last message, of any category, up to which everything
            is settled in the categories to read.
        id: the id of this message.
        wal_position: what a standby must have replayed.
        timeline: the timeline of the primary server, which each promotion changes.
    """

    position: int
    id: UUID
    wal_position: str
    timeline: str


class _Lsn(UserDefinedType[str]):
    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "pg_lsn"


def _horizon() -> FromClause:
    """Return a subquery of one row, with the fields of a `Horizon` and the settled position.

    What it needs comes first: the settled position before the others, which depend on it. The
    message is one that the snapshot of the statement shows, which is older.
    """
    bound = select(
        call("read_bound", BigInteger(), (bindparam("horizon_categories"), ARRAY(Text))).label(
            "settled"
        )
    ).subquery("bound")
    last = (
        select(messages.c.global_position, messages.c.id)
        .where(messages.c.global_position <= bound.c.settled)
        .order_by(messages.c.global_position.desc())
        .limit(1)
        .lateral("last_settled")
    )
    written = case(
        (bound.c.settled.is_not(None), func.pg_catalog.pg_current_wal_insert_lsn(type_=_Lsn()))
    )
    return (
        select(
            last.c.global_position.label("last_position"),
            last.c.id.label("last_id"),
            cast(written, Text).label("wal_position"),
            # The name of a segment of the log begins with the timeline.
            func.pg_catalog.substr(
                func.pg_catalog.pg_walfile_name(written), 1, 8, type_=Text
            ).label("timeline"),
        )
        .select_from(bound.outerjoin(last, true()))
        .subquery("horizon")
    )


HORIZON = _horizon()
"""The horizon, as a subquery of one row. The parameter `horizon_categories` has the categories to
read; NULL for all.
"""

_LSN = cast(bindparam("wal_position", type_=Text), _Lsn())

FLUSH = select(
    func.pg_catalog.set_config("synchronous_commit", "local", True),
    case(
        (
            func.pg_catalog.pg_current_wal_flush_lsn(type_=_Lsn()) < _LSN,
            func.pg_catalog.pg_logical_emit_message(True, "mdb_sqla", "", type_=Text),
        )
    ),
)
"""Makes the commit of this transaction write the log to disk, if that is necessary.

A standby receives only what is on disk. The log of a transaction that is still open, or that
doesn't wait for the disk, gets there with the next commit, or after some time.
"""

_PROGRESS = select(
    func.pg_catalog.pg_is_in_recovery(),
    func.coalesce(func.pg_catalog.pg_last_wal_replay_lsn(type_=_Lsn()) >= _LSN, False),
    func.pg_catalog.set_config("lock_timeout", bindparam("lock_timeout", type_=Text), True),
)
_IS_STANDBY = select(func.pg_catalog.pg_is_in_recovery())

_oid = cast(cast(cast(bindparam("messages", type_=Text), REGCLASS), OID), Text)


def horizon_of(row: Sequence[Any]) -> Horizon | None:
    """Return the horizon from a row of `HORIZON`; None if there are no messages."""
    position, id_, wal_position, timeline = row
    return None if id_ is None else Horizon(position, uuid_of(id_), wal_position, timeline)


def progress(db: Database, horizon: Horizon, max_wait: float) -> tuple[bool, bool]:
    """Return whether the server is a standby, and whether it has replayed its log far enough.

    A later statement sees all that it has replayed. It waits for locks no longer than `max_wait`
    seconds: a standby that has replayed half of a transaction holds the locks of that.
    """
    timeout = str(max(1, round(1000 * max_wait)))
    parameters = {"wal_position": horizon.wal_position, "lock_timeout": timeout}
    row: Sequence[Any] = execute(db, _PROGRESS, parameters, WRITES)[0]
    return row[0], row[1]


def evidence(witness: ColumnElement[bool]) -> Select[Any]:
    """Return the statement that checks a standby's history, and lets its transaction read.

    Its row has two values that count: whether the witness is there, and whether the last message
    is. Its parameters are those of `evidence_parameters` and of the witness.
    """
    return select(
        witness,
        is_stored(),
        # Read by read_bound().
        func.pg_catalog.set_config(
            func.concat("message_store.read_up_to_", _oid),
            cast(bindparam("up_to", type_=BigInteger), Text),
            True,
        ),
    )


def evidence_parameters(connection: Connection, horizon: Horizon) -> dict[str, Any]:
    """Return the parameters of a statement with `evidence`, without those of the witness."""
    return {
        "messages": qualified(connection, "messages"),
        **parameters_of(horizon.position, horizon.id),
        "up_to": horizon.position,
    }


def remains_standby(db: Database) -> bool:
    """Return whether the server is still a standby, and so has been one since it was asked."""
    ((found,),) = execute(db, _IS_STANDBY, {}, WRITES)
    return bool(found)
