"""A store at a glance: how large it is, what is in it, how it grows.

Nothing here reads the whole table. One in n global positions is looked up in the primary key, and
stands for n; where the table is small, n is 1, and what is told is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Executable, cast, func, select
from sqlalchemy.dialects.postgresql import REGCLASS

from mdb_sqla import functions
from mdb_sqla.admin.sampling import SETTINGS, Sample
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
from mdb_sqla.tables import messages

__all__ = ["CategorySize", "Size", "Summary", "summary"]

_MOST_CATEGORIES = 1_000
"""How many categories are counted."""

_position = messages.c.global_position


@dataclass(frozen=True)
class Size:
    """How much room the table takes, in bytes; `total` has the table, its indexes and TOAST."""

    table: int
    indexes: int
    total: int


@dataclass(frozen=True)
class CategorySize:
    """How many messages a category has, and how many streams."""

    category: str
    messages: int
    streams: int


@dataclass(frozen=True)
class Summary:
    """A store at a glance.

    Attributes:
        contract: the version of the server contract.
        server: PostgreSQL's version.
        lock_granularity: `category` or `stream`.
        size: in bytes; exact.
        messages: how many there are.
        streams: how many there are.
        every: one in how many global positions was looked up for the messages, the streams and
            what the categories have; these are exact where it is 1, and estimated otherwise.
        categories: how many there are; exact, but for `categories_at_least`.
        categories_at_least: whether there are more, as no more were counted.
        largest: the categories with most messages, largest first.
        days: how many messages each of the last days has, in UTC, the oldest first; today's is not
            over yet.
        days_every: one in how many global positions was looked up for them.
    """

    contract: str
    server: str
    lock_granularity: str
    size: Size
    messages: int
    streams: int
    every: int
    categories: int
    categories_at_least: bool
    largest: tuple[CategorySize, ...]
    days: dict[date, int]
    days_every: int

    @property
    def messages_per_day(self) -> float:
        """How many messages a day has, in the mean of those days that are over."""
        over = list(self.days.values())[:-1]
        return sum(over) / len(over)

    @property
    def bytes_per_day(self) -> float:
        """By how many bytes the store grows a day, if its messages stay as large as they are."""
        return self.messages_per_day * self.size.total / self.messages if self.messages else 0.0


def summary(db: Database, *, days: int = 14, categories: int = 10) -> Summary:
    """Return a store at a glance, in about a second however large it is.

    Args:
        db: a session or connection in a transaction, which is left as it was.
        days: of how many days the messages are counted, today's among them.
        categories: how many of the largest categories are told.

    Raises:
        InvalidArgument: `days` is less than 2, or `categories` less than 1.
        StoreNotInstalled: there is no store in the database.
    """
    if days < 2 or categories < 1:
        raise InvalidArgument(
            f"days must be at least 2, and categories at least 1: {days!r}, {categories!r}"
        )
    db = database(db)
    with connection_of(db).begin_nested() as savepoint:
        settings = (func.set_config(name, value, True) for name, value in SETTINGS.items())
        execute(db, select(*settings), {}, WRITES)
        told = _summary(db, days, categories)
        savepoint.rollback()
    return told


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
    several = categories_of_store(_MOST_CATEGORIES + 1).subquery()
    (number,) = _row(db, select(func.count()).select_from(several))
    (now,) = _row(db, select(func.timezone("utc", func.now())))
    newest = now.date()
    oldest = newest - timedelta(days=days - 1)
    (before,) = _row(db, sample.before(oldest))
    recent = Sample(sample.first if before is None else before, sample.last)
    counted = execute(db, recent.days(oldest, newest), {}, WRITES)
    of_days = {row.day: row.messages for row in counted}
    return Summary(
        contract=contract,
        server=server,
        lock_granularity=granularity,
        size=_size(db),
        messages=sum(row.messages for row in of_categories),
        streams=round(sum(row.streams for row in of_categories)),
        every=sample.every,
        categories=min(number, _MOST_CATEGORIES),
        categories_at_least=number > _MOST_CATEGORIES,
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


def _size(db: Database) -> Size:
    table = cast(qualified(connection_of(db), messages.name), REGCLASS)
    sizes = func.pg_relation_size, func.pg_indexes_size, func.pg_total_relation_size
    return Size(*_row(db, select(*(size(table) for size in sizes))))
