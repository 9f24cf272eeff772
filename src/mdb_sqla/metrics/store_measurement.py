"""The gauges of a whole store, read with statements that are cheap however large the store is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from sqlalchemy import (
    Connection,
    Double,
    any_,
    case,
    cast,
    exists,
    extract,
    func,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import array

from mdb_sqla import functions
from mdb_sqla.column_types import fits_datetime
from mdb_sqla.consumers.consumer_lag import MAX_COUNTED, lag
from mdb_sqla.consumers.dead_letter_queue import count_dead_letters
from mdb_sqla.consumers.group import is_alive
from mdb_sqla.consumers.open_transactions import ages_of_open_writers
from mdb_sqla.consumers.registry import Reads, registered
from mdb_sqla.database.execution import WRITES, execute
from mdb_sqla.metrics import gauges
from mdb_sqla.metrics.gauges import CATEGORY, CONSUMER, IN_STATE, PART, Sample
from mdb_sqla.retention.holds import readers
from mdb_sqla.retention.policy import RetentionPolicy, policies
from mdb_sqla.store.table_size import estimated_rows, table_size
from mdb_sqla.tables import consumer_members as members
from mdb_sqla.tables import consumer_slots as slots
from mdb_sqla.tables import messages

__all__ = ["measure"]

_EXAMINED, _LEAST_EXAMINED = 300_000, 1_000
"""The number of messages to examine for the lags of all consumers, and at least for each."""

_TIMEOUT = {"statement_timeout": "2s"}

# The planner must not sort all messages of a category to find the first one.
_INDEX_ONLY = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
    "jit": "off",
}


def measure(connection: Connection, deadline: float) -> list[Sample]:
    """Return the samples of a store.

    Args:
        connection: a connection in a new transaction at READ COMMITTED, which is left unchanged.
        deadline: when to give up, as a time of `time.monotonic()`.

    Raises:
        OperationalError: a statement took longer than two seconds; five for a consumer's lag.
        StoreNotInstalled: the database has no store, or the store is not up to date.
        TimeoutError: the deadline has passed.
    """
    _set(connection, _TIMEOUT)
    samples = []
    for sample in _samples(connection):
        samples.append(sample)
        if time.monotonic() > deadline:
            raise TimeoutError("The queries for the gauges of the store took too long")
    return samples


def _samples(connection: Connection) -> Iterator[Sample]:
    yield from _of_table(connection)
    yield from _of_writers(connection)
    yield from _of_consumers(connection)
    yield from _of_groups(connection)
    yield from _of_retention(connection)


def _of_table(connection: Connection) -> Iterator[Sample]:
    ((last,),) = execute(connection, select(functions.last_global_position()), {}, WRITES)
    yield Sample(gauges.LAST_POSITION, last)
    size = table_size(connection)
    parts = {
        "table": size.table,
        "indexes": size.indexes,
        "toast": size.total - size.table - size.indexes,
    }
    for part, number in parts.items():
        yield Sample(gauges.SIZE, number, {PART: part})
    rows = estimated_rows(connection)
    yield Sample(gauges.LIVE_ROWS, rows.live)
    yield Sample(gauges.DEAD_ROWS, rows.dead)


def _of_writers(connection: Connection) -> Iterator[Sample]:
    ((is_standby,),) = execute(connection, select(func.pg_is_in_recovery()), {}, WRITES)
    if is_standby:
        # It doesn't know the primary's transactions.
        return
    ((settled,),) = execute(connection, select(functions.settled_position()), {}, WRITES)
    yield Sample(gauges.SETTLED_POSITION, settled)
    ages = ages_of_open_writers(connection)
    yield Sample(gauges.OPEN_WRITERS, len(ages))
    known = [age for age in ages if age is not None]
    if len(known) == len(ages):
        yield Sample(gauges.OPEN_WRITER_AGE, max(known, default=0.0))
    # Otherwise the role may not see the age of the oldest one: a number would be wrong.


def _of_consumers(connection: Connection) -> Iterator[Sample]:
    reads, found = registered(connection), readers(connection, None)
    examine = min(MAX_COUNTED, max(_LEAST_EXAMINED, _EXAMINED // max(len(found), 1)))
    for consumer, position in found:
        attributes = {CONSUMER: consumer}
        yield Sample(gauges.POSITION, position, attributes)
        if consumer in reads:
            yield from _of_lag(connection, consumer, reads[consumer], examine)
        else:
            # It has a position, but has never started.
            number = count_dead_letters(connection, consumer)
            yield Sample(gauges.DEAD_LETTERS, number, attributes)


def _of_lag(connection: Connection, consumer: str, reads: Reads, examine: int) -> Iterator[Sample]:
    # Without the condition: its SQL comes from roles that may have fewer privileges than this one.
    found = lag(
        connection,
        consumer,
        *reads.categories,
        start=reads.start,
        types=reads.types,
        examine=examine,
        correlation=reads.correlation,
    )
    attributes = {CONSUMER: consumer}
    yield Sample(gauges.LAG, found.messages, attributes)
    yield Sample(gauges.LAG_TIME, found.seconds, attributes)
    yield Sample(gauges.DEAD_LETTERS, found.dead_letters, attributes)


def _of_groups(connection: Connection) -> Iterator[Sample]:
    """Yield the samples of consumers with a group, which are those that have members."""
    owner = members.alias()
    is_held = exists().where(
        owner.c.consumer == slots.c.consumer, owner.c.member == slots.c.owner, is_alive(owner)
    )
    has_members = exists().where(members.c.consumer == slots.c.consumer)
    number, held = func.max(slots.c.slots), func.count().filter(is_held)
    of_slots = (
        select(slots.c.consumer, number.label("number"), held.label("held"))
        .where(or_(slots.c.owner.is_not(None), has_members))
        .group_by(slots.c.consumer)
        .order_by(slots.c.consumer)
    )
    for row in execute(connection, of_slots, {}, WRITES):
        for state, value in (("held", row.held), ("free", row.number - row.held)):
            yield Sample(gauges.SLOTS, value, {CONSUMER: row.consumer, IN_STATE: state})
    alive = func.count().filter(is_alive()).label("alive")
    of_members = select(members.c.consumer, alive).group_by(members.c.consumer)
    for row in execute(connection, of_members, {}, WRITES):
        yield Sample(gauges.MEMBERS, row.alive, {CONSUMER: row.consumer})


def _of_retention(connection: Connection) -> Iterator[Sample]:
    """Yield how long the job is overdue in each category.

    Not with a rule that keeps the last messages of streams: the oldest message may be one of them.
    """
    found = [policy for policy in policies(connection) if policy.keep_last is None]
    if found:
        _set(connection, _INDEX_ONLY)
    for policy in found:
        overdue = max(_age_of_oldest(connection, policy) - _keep_seconds(policy), 0.0)
        yield Sample(gauges.RETENTION_OVERDUE, overdue, {CATEGORY: policy.category})


def _age_of_oldest(connection: Connection, policy: RetentionPolicy) -> float:
    """Return the age in seconds of a category's oldest message; 0 if it has none."""
    # Compared as in `get_category_messages`, so only one index is suitable.
    category = functions.category(messages.c.stream_name)
    age = func.timezone("utc", func.clock_timestamp()) - messages.c.time
    statement = (
        # Infinity has no age; before PostgreSQL 17 it can't even be subtracted.
        select(case((fits_datetime(messages.c.time), cast(extract("epoch", age), Double))))
        .where(category == any_(array([policy.category])))
        .order_by(category, messages.c.global_position)
        .limit(1)
    )
    rows = execute(connection, statement, {}, WRITES)
    return rows[0][0] or 0.0 if rows else 0.0


def _keep_seconds(policy: RetentionPolicy) -> float:
    return 0.0 if policy.keep_age is None else policy.keep_age.total_seconds()


def _set(connection: Connection, settings: dict[str, Any]) -> None:
    values = (func.set_config(name, value, True) for name, value in settings.items())
    execute(connection, select(*values), {}, WRITES)
