"""Search for the messages of a category that its retention policy does not keep."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Interval, bindparam, cast, func, select, type_coerce

from mdb_sqla import functions
from mdb_sqla.column_types import UTCDateTime, time_column
from mdb_sqla.database.execution import WRITES, Database, execute
from mdb_sqla.retention.category_deletion import Batch
from mdb_sqla.retention.policy import RetentionPolicy

__all__ = ["Expired", "count_expired", "expired"]


class Expired(NamedTuple):
    """Messages that a policy does not keep.

    Attributes:
        batch: the messages.
        global_positions: their global positions.
        scanned: the global position to continue after; None if there are no more.
    """

    batch: Batch
    global_positions: list[int]
    scanned: int | None


_age = cast(bindparam("keep_age", type_=Interval), Interval)
_cutoff = func.timezone("utc", func.clock_timestamp()) - _age
_found = functions.expired_messages(
    bindparam("category"),
    _cutoff,
    bindparam("keep_last"),
    bindparam("up_to"),
    bindparam("after"),
    bindparam("batch_size"),
    bindparam("counting"),
)
_EXPIRED = select(
    _found.c.number,
    _found.c.first_global_position,
    _found.c.last_global_position,
    # Drivers fail at a time that Python can't represent.
    type_coerce(time_column(_found.c.first_time), UTCDateTime).label("first_time"),
    type_coerce(time_column(_found.c.last_time), UTCDateTime).label("last_time"),
    _found.c.global_positions,
    _found.c.scanned,
)


def expired(
    db: Database, policy: RetentionPolicy, *, after: int, up_to: int, examine: int
) -> Expired:
    """Return the messages that a policy does not keep, among the next ones.

    Args:
        db: a session or connection in a transaction.
        policy: the policy.
        after: the global position to begin after.
        up_to: the last global position.
        examine: the maximum number of messages to examine.
    """
    return _search(db, policy, after, up_to, examine, counting=False)


def count_expired(
    db: Database, policy: RetentionPolicy, *, after: int, up_to: int, examine: int | None = None
) -> Batch:
    """Return a summary of the messages that a policy does not keep. See `expired`."""
    return _search(db, policy, after, up_to, examine, counting=True).batch


def _search(
    db: Database,
    policy: RetentionPolicy,
    after: int,
    up_to: int,
    examine: int | None,
    *,
    counting: bool,
) -> Expired:
    parameters = {
        "category": policy.category,
        "keep_age": policy.keep_age,
        "keep_last": policy.keep_last,
        "up_to": up_to,
        "after": after,
        "batch_size": examine,
        "counting": counting,
    }
    row = execute(db, _EXPIRED, parameters, WRITES)[0]
    batch = Batch._make(getattr(row, name) for name in Batch._fields)
    return Expired(batch, row.global_positions or [], row.scanned)
