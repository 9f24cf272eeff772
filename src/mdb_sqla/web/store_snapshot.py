"""The state of a store at a point in time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, literal, select, union_all

from mdb_sqla import functions
from mdb_sqla.admin.consumer_overview import ConsumerOverview, consumers
from mdb_sqla.admin.store_summary import Summary
from mdb_sqla.consumers.open_transactions import open_writers
from mdb_sqla.consumers.open_writer import OpenWriter
from mdb_sqla.database.execution import WRITES, execute
from mdb_sqla.operation_log import Operation, operations
from mdb_sqla.tables import messages
from mdb_sqla.web.activity import Activity
from mdb_sqla.web.message_pages import Source

__all__ = ["Snapshot", "query_snapshot"]

_MAX_PASSED = 20_000  # messages to count between two snapshots
_MIN_AGE = 1.0  # seconds from which open transactions are shown


@dataclass(frozen=True)
class Snapshot:
    """The state of the store.

    Attributes:
        taken_at: when it was queried, as of `time.monotonic()`; None if it never was.
        problem: why the last query failed; None if it succeeded. The other attributes are those of
            the last successful one.
        consumers: the consumers.
        writers: the open transactions that hold back others, oldest first.
        last_position: the last global position that was assigned.
        summary: a summary of the messages, some seconds older than the rest; None if it took too
            long.
        activity: the number of messages by minute; None if it took too long.
        verified: the last verification of the store; None if there is none.
    """

    taken_at: float | None = None
    problem: str | None = None
    consumers: tuple[ConsumerOverview, ...] = ()
    writers: tuple[OpenWriter, ...] = ()
    last_position: int = 0
    summary: Summary | None = None
    activity: Activity | None = None
    verified: Operation | None = None

    @property
    def age(self) -> float | None:
        """The age in seconds; None if the store was never queried."""
        return None if self.taken_at is None else time.monotonic() - self.taken_at


def query_snapshot(
    db: Connection, before: Mapping[str, int], examine: int
) -> tuple[Snapshot, dict[str, int]]:
    """Return the state, and how many messages each consumer has passed since a position.

    Args:
        db: a connection.
        before: the position of each consumer.
        examine: the maximum number of messages to examine for the lag of a consumer.
    """
    found = consumers(db, examine=examine)
    passed = {
        each.name: _passed(db, each, before[each.name])
        for each in found
        if each.name in before and each.reads is not None and each.lag is not None
    }
    last = execute(db, select(functions.last_global_position()), {}, WRITES)[0][0]
    writers = open_writers(db, at_least=_MIN_AGE)
    oldest_first = sorted(writers, key=lambda writer: -(writer.seconds or 0))
    verified = next(iter(operations(db, kind="verify", limit=1)), None)
    state = Snapshot(
        consumers=tuple(found),
        writers=tuple(oldest_first),
        last_position=last,
        verified=verified,
    )
    return state, passed


def _passed(db: Connection, consumer: ConsumerOverview, since: int) -> int:
    assert consumer.reads is not None and consumer.lag is not None  # noqa: S101, PT018
    position = consumer.lag.position or 0
    if position <= since:
        return 0
    sources = [Source(category=each) for each in consumer.reads.categories] or [Source()]
    between = messages.c.global_position.between(since + 1, position)
    parts = [
        select(literal(1)).select_from(
            source.ordered(messages.c.global_position, newest_first=False)
            .where(between)
            .limit(_MAX_PASSED)
            .subquery()
        )
        for source in sources
    ]
    counted = select(func.count().label("number")).select_from(union_all(*parts).subquery())
    return int(execute(db, counted, {}, WRITES)[0].number)
