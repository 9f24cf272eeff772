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
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
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
from mdb_sqla.database.execution import WRITES, Database, connection_of, execute, qualified
from mdb_sqla.function_call import call
from mdb_sqla.store.stored_message import is_stored, parameters_of
from mdb_sqla.tables import messages

__all__ = [
    "HORIZON",
    "Horizon",
    "Refusal",
    "check_standby",
    "evidence",
    "flush",
    "horizon_of",
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


class Refusal(Enum):
    """Why a standby does not serve a read; the value is the reason, as it is logged."""

    IS_NO_STANDBY = "is no standby"
    LAGS = "lags"
    LACKS_WITNESS = "has another history, or no restart point since the last promotion"
    LACKS_MESSAGE = "lacks the last message"  # it was deleted in between
    IS_NEWER = "has a newer witness"  # another process has claimed the slot
    FAILED = "can't be read"
    HAS_GAPS = "may lack messages"  # a new horizon and a new witness show whether it does


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

_FLUSH = select(
    func.pg_catalog.set_config("synchronous_commit", "local", True),
    case(
        (
            func.pg_catalog.pg_current_wal_flush_lsn(type_=_Lsn()) < _LSN,
            func.pg_catalog.pg_logical_emit_message(True, "mdb_sqla", "", type_=Text),
        )
    ),
)

_PROGRESS = select(
    func.pg_catalog.pg_is_in_recovery(),
    func.coalesce(func.pg_catalog.pg_last_wal_replay_lsn(type_=_Lsn()) >= _LSN, False),
    func.pg_catalog.set_config("lock_timeout", bindparam("lock_timeout", type_=Text), True),
)
_IS_STANDBY = select(func.pg_catalog.pg_is_in_recovery())

_LONGEST_TIMEOUT = 2**31 - 1  # milliseconds that PostgreSQL accepts

_oid = cast(cast(cast(bindparam("messages", type_=Text), REGCLASS), OID), Text)


def horizon_of(row: Sequence[Any]) -> Horizon | None:
    """Return the horizon from a row of `HORIZON`; None if there are no messages."""
    position, id_, wal_position, timeline = row
    return None if id_ is None else Horizon(position, uuid_of(id_), wal_position, timeline)


def flush(horizon: Horizon, primary: Database) -> None:
    """Have the commit of this transaction write the log to disk, if that is necessary.

    A standby receives only what is on disk. The log of a transaction that is still open, or that
    doesn't wait for the disk, gets there with the next commit, or after some time.
    """
    execute(primary, _FLUSH, {"wal_position": horizon.wal_position}, WRITES)


def check_standby(
    standby: Database,
    horizon: Horizon,
    max_wait: float,
    check: Select[Any],
    witness: dict[str, Any],
) -> tuple[Refusal | None, Sequence[Any]]:
    """Let a transaction on a standby read up to the horizon, or return why it can't.

    Also returns the other values of the check, if it was executed. Later statements of the
    transaction see all that the standby has replayed. They wait for locks no longer than `max_wait`
    seconds: a standby that has replayed half of a transaction holds the locks of that.

    Args:
        standby: a session or connection of the standby.
        horizon: what it must have replayed.
        max_wait: how long to wait for locks, in seconds.
        check: the statement that `evidence` returns.
        witness: the parameters of its witness and its other values.
    """
    timeout = str(max(1, round(min(1000 * max_wait, _LONGEST_TIMEOUT))))
    progress = {"wal_position": horizon.wal_position, "lock_timeout": timeout}
    is_standby, has_replayed = tuple(execute(standby, _PROGRESS, progress, WRITES)[0])[:2]
    if not is_standby:
        return Refusal.IS_NO_STANDBY, ()
    if not has_replayed:
        return Refusal.LAGS, ()
    values = {
        **witness,
        "messages": qualified(connection_of(standby), "messages"),
        **parameters_of(horizon.position, horizon.id),
        "up_to": horizon.position,
    }
    row: Sequence[Any] = execute(standby, check, values, WRITES)[0]
    _, has_witness, has_message, *others = row
    if not has_witness:
        return Refusal.LACKS_WITNESS, others
    return (None if has_message else Refusal.LACKS_MESSAGE), others


def evidence(witness: ColumnElement[bool], *others: ColumnElement[Any]) -> Select[Any]:
    """Return the statement with which `check_standby` checks a standby's history.

    It also lets the transaction read.

    Args:
        witness: whether the witness is there.
        others: what else to return. The parameter `up_to` has the position of the horizon.
    """
    return select(
        # Read by read_bound().
        func.pg_catalog.set_config(
            func.concat("message_store.read_up_to_", _oid),
            cast(bindparam("up_to", type_=BigInteger), Text),
            True,
        ),
        witness,
        is_stored(),
        *others,
    )


def remains_standby(db: Database) -> bool:
    """Return whether the server is still a standby, and so has been one since it was asked."""
    ((found,),) = execute(db, _IS_STANDBY, {}, WRITES)
    return bool(found)
