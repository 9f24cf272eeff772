"""A summary of a store: size, messages, categories and growth.

It never reads the whole table, but samples one in n global positions. For a small table, n is 1 and
the numbers are exact.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from sqlalchemy import BigInteger, Executable, cast, func, select

from mdb_sqla import functions
from mdb_sqla.admin.sampled_counts import SETTINGS, Sample
from mdb_sqla.database.citus import Unoffered, refuse_on_citus
from mdb_sqla.database.execution import (
    WRITES,
    Database,
    connection_of,
    database,
    execute,
    qualified,
)
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.store.categories import categories as categories_of_store
from mdb_sqla.store.table_size import Size, estimated_rows, table_size
from mdb_sqla.tables import deletions, messages

__all__ = ["CategorySize", "Summary", "summary"]

_MAX_CATEGORIES = 1_000
"""The number of categories up to which they are counted."""

# Autovacuum begins at a twentieth, as the store's revisions set it.
_DEAD_SHARE = 0.25
_MANY_DEAD_ROWS = 50_000

_position = messages.c.global_position
_DELETED = func.coalesce(
    select(cast(func.sum(deletions.c.messages), BigInteger))
    .where(deletions.c.kind.in_(["retention", "stream"]))
    .scalar_subquery(),
    0,
)


@dataclass(frozen=True)
class CategorySize:
    """The number of messages and streams of a category."""

    category: str
    messages: int
    streams: int


@dataclass(frozen=True)
class Summary:
    """A summary of a store.

    Attributes:
        contract: the version of the server contract.
        server: PostgreSQL's version.
        lock_granularity: `category` or `stream`.
        size: in bytes; exact.
        dead_rows: an estimate of the deleted or updated rows whose space is not reusable until the
            next vacuum.
        messages: the number of messages.
        deleted: the number of messages that retention policies and erasures have deleted; None if
            the role may not read the log of deletions.
        streams: the number of streams.
        every: the sampling interval: to count messages and streams, in total and by category, one
            in this many global positions was read. If it is 1, the numbers are exact.
        categories: the number of categories; exact unless `categories_at_least`.
        categories_at_least: whether there are more categories than were counted.
        largest: the categories with the most messages, largest first.
        days: the number of messages of each of the last days, in UTC, oldest first, including
            today.
        days_every: the sampling interval of `days`.
    """

    contract: str
    server: str
    lock_granularity: str
    size: Size
    dead_rows: int
    messages: int
    deleted: int | None
    streams: int
    every: int
    categories: int
    categories_at_least: bool
    largest: tuple[CategorySize, ...]
    days: dict[date, int]
    days_every: int

    @property
    def is_vacuum_behind(self) -> bool:
        """Whether there are so many dead rows that autovacuum does not keep up with deletions."""
        return self.dead_rows > max(_MANY_DEAD_ROWS, _DEAD_SHARE * self.messages)

    @property
    def messages_per_day(self) -> float:
        """The average number of messages per day, excluding today."""
        completed = list(self.days.values())[:-1]
        return sum(completed) / len(completed)

    @property
    def bytes_per_day(self) -> float:
        """The growth in bytes per day, at the current average message size."""
        return self.messages_per_day * self.size.total / self.messages if self.messages else 0.0


def summary(db: Database, *, days: int = 14, categories: int = 10) -> Summary:
    """Return a summary of a store, from a sample of ten thousand messages.

    It takes a fraction of a second if they are in memory, and a second or two if they are on disk.

    Args:
        db: a session or connection in a transaction, which is left unchanged.
        days: the number of days to count, including today.
        categories: the number of largest categories to return.

    Raises:
        InvalidArgument: `days` is less than 2, or `categories` is less than 1.
        NotOffered: the store is distributed with Citus.
        StoreNotInstalled: the database has no store.
    """
    if days < 2 or categories < 1:
        raise InvalidArgument(
            f"days must be at least 2 and categories at least 1, got {days!r} and {categories!r}"
        )
    db = database(db)
    refuse_on_citus(db, Unoffered.SUMMARY)
    with connection_of(db).begin_nested() as savepoint:
        settings = (func.set_config(name, value, True) for name, value in SETTINGS.items())
        execute(db, select(*settings), {}, WRITES)
        result = _summary(db, days, categories)
        savepoint.rollback()
    return result


def _summary(db: Database, days: int, categories: int) -> Summary:
    contract, server, granularity = _row(
        db,
        select(
            functions.message_store_version(),
            func.current_setting("server_version"),
            functions.lock_granularity(),
        ),
    )
    first, last = _row(db, select(func.min(_position), func.max(_position)))
    sample = Sample(1, 0) if first is None else Sample(first, last)
    of_categories = execute(db, sample.categories(), {}, WRITES)
    found = categories_of_store(_MAX_CATEGORIES + 1).subquery()
    (number,) = _row(db, select(func.count()).select_from(found))
    (now,) = _row(db, select(func.timezone("utc", func.now())))
    newest = now.date()
    oldest = newest - timedelta(days=days - 1)
    (before,) = _row(db, sample.before(oldest))
    # With the same seed: if all messages are recent, it is the same sample.
    recent = replace(sample, first=sample.first if before is None else before)
    counted = execute(db, recent.days(oldest, newest), {}, WRITES)
    of_days = {row.day: row.messages for row in counted}
    return Summary(
        contract=contract,
        server=server,
        lock_granularity=granularity,
        size=table_size(db),
        dead_rows=estimated_rows(db).dead,
        messages=sum(row.messages for row in of_categories),
        deleted=_deleted(db),
        streams=round(sum(row.streams for row in of_categories)),
        every=sample.every,
        categories=min(number, _MAX_CATEGORIES),
        categories_at_least=number > _MAX_CATEGORIES,
        largest=tuple(
            CategorySize(row.category, row.messages, round(row.streams))
            for row in of_categories[:categories]
        ),
        days={
            day: of_days.get(day, 0) for day in (oldest + timedelta(days=n) for n in range(days))
        },
        days_every=recent.every,
    )


def _row(db: Database, statement: Executable) -> Any:
    (row,) = execute(db, statement, {}, WRITES)
    return row


def _deleted(db: Database) -> int | None:
    table = qualified(connection_of(db), deletions.name)
    (is_permitted,) = _row(db, select(func.has_table_privilege(table, "SELECT")))
    return _row(db, select(_DELETED))[0] if is_permitted else None
