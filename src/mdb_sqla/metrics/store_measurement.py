"""The gauges of a whole store, read with statements that are cheap however large the store is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Double, any_, case, cast, extract, func, select
from sqlalchemy.dialects.postgresql import array

from mdb_sqla import functions
from mdb_sqla.column_types import fits_datetime
from mdb_sqla.consumers.backlog import LAG_SETTINGS
from mdb_sqla.consumers.open_transactions import ages_of_open_writers
from mdb_sqla.database.citus import Unoffered, refuse_on_citus
from mdb_sqla.database.execution import WRITES, execute
from mdb_sqla.metrics import gauges
from mdb_sqla.metrics.consumer_measurement import measure_consumers, measure_groups
from mdb_sqla.metrics.gauges import CATEGORY, PART, Sample
from mdb_sqla.retention.policy import RetentionPolicy, policies
from mdb_sqla.store.table_size import estimated_rows, table_size
from mdb_sqla.tables import messages

__all__ = ["measure"]

_TIMEOUT = {"statement_timeout": "2s"}


def measure(connection: Connection, deadline: float, examine: int) -> list[Sample]:
    """Return the samples of a store.

    Args:
        connection: a connection in a new transaction at READ COMMITTED. Settings are changed until
            the transaction ends.
        deadline: when to give up, as a time of `time.monotonic()`.
        examine: the number of messages to examine for the lags of all consumers.

    Raises:
        NotOffered: the store is distributed with Citus.
        OperationalError: a statement took longer than two seconds.
        StoreNotInstalled: the database has no store, or the store is not up to date.
        TimeoutError: the deadline has passed.
    """
    _set(connection, _TIMEOUT)
    refuse_on_citus(connection, Unoffered.METRICS)
    samples = []
    for sample in _samples(connection, examine):
        samples.append(sample)
        if time.monotonic() > deadline:
            raise TimeoutError("The queries for the gauges of the store took too long")
    return samples


def _samples(connection: Connection, examine: int) -> Iterator[Sample]:
    yield from _of_table(connection)
    yield from _of_writers(connection)
    yield from measure_groups(connection)
    # Also keep the planner from sorting all messages of a category to find the first or last one.
    _set(connection, LAG_SETTINGS | _TIMEOUT)
    yield from measure_consumers(connection, examine)
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


def _of_retention(connection: Connection) -> Iterator[Sample]:
    """Yield how long the job is overdue in each category.

    Not with a rule that keeps the last messages of streams: the oldest message may be one of them.
    """
    for policy in policies(connection):
        if policy.keep_last is not None:
            continue
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
