"""Dead letters, grouped by what failed."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Select, func, select

from mdb_sqla.consumers.dead_letter_queue import DeadLetter
from mdb_sqla.database.execution import WRITES, execute
from mdb_sqla.tables import dead_letters as letters

__all__ = [
    "MAX_AT_ONCE",
    "MAX_ERROR",
    "MAX_LETTERS",
    "Kind",
    "KindSummary",
    "failed_positions",
    "kinds",
    "letters_of",
    "waiting_behind",
]

MAX_LETTERS = 100
"""The maximum number of dead letters on a page."""

MAX_AT_ONCE = 1_000
"""The maximum number of dead letters that one action replays or skips."""

MAX_ERROR = 20_000
"""The maximum number of characters of an error and of a traceback."""

_LONG = {"error", "traceback"}
_MAX_KINDS = 200
_MAX_KIND = 300  # characters that distinguish kinds; they become part of an address
_first_line = func.split_part(func.coalesce(letters.c.error, ""), "\n", 1)
_error = func.left(_first_line, _MAX_KIND)
_type = func.left(letters.c.type, _MAX_KIND)


class Kind(NamedTuple):
    """Dead letters of a consumer that failed in the same way.

    Attributes:
        consumer: the consumer.
        type: the type of the messages, truncated if it is long.
        error: the first line of the error, truncated if it is long.
    """

    consumer: str
    type: str
    error: str


class KindSummary(NamedTuple):
    """How many dead letters of a kind there are, and when the last one failed."""

    kind: Kind
    number: int
    first_position: int
    last_at: datetime


def kinds(db: Connection, consumer: str | None = None) -> list[KindSummary]:
    """Return the kinds of failed messages, most recent first."""
    last_at = func.max(letters.c.dead_lettered_at, type_=letters.c.dead_lettered_at.type)
    statement = (
        select(
            letters.c.consumer,
            _type,
            _error,
            func.count(),
            func.min(letters.c.global_position),
            last_at,
        )
        .where(letters.c.failed)
        .group_by(letters.c.consumer, _type, _error)
        .order_by(last_at.desc())
        .limit(_MAX_KINDS)
    )
    if consumer is not None:
        statement = statement.where(letters.c.consumer == consumer)
    rows = execute(db, statement, {}, WRITES)
    return [KindSummary(Kind._make(row[:3]), *tuple(row[3:])) for row in rows]


def letters_of(db: Connection, kind: Kind, *, after: int = 0) -> list[DeadLetter]:
    """Return failed messages of a kind, in global order: one more than a page if there are more."""
    columns = [
        func.left(letters.c[name], MAX_ERROR) if name in _LONG else letters.c[name]
        for name in DeadLetter._fields
    ]
    statement = _of_kind(select(*columns), kind).where(letters.c.global_position > after)
    rows = execute(
        db, statement.order_by(letters.c.global_position).limit(MAX_LETTERS + 1), {}, WRITES
    )
    return [DeadLetter._make(row) for row in rows]


def waiting_behind(db: Connection, consumer: str, streams: list[str]) -> dict[str, int]:
    """Return how many messages wait behind failed ones, by stream."""
    statement = (
        select(letters.c.stream_name, func.count().label("number"))
        .where(
            letters.c.consumer == consumer,
            letters.c.stream_name.in_(streams),
            letters.c.failed.is_(False),
        )
        .group_by(letters.c.stream_name)
    )
    rows = execute(db, statement, {}, WRITES) if streams else []
    return {row.stream_name: row.number for row in rows}


def failed_positions(db: Connection, kind: Kind) -> list[int]:
    """Return the global positions of the first failed messages of a kind.

    There are at most `MAX_AT_ONCE`, and one more if there are more.
    """
    statement = _of_kind(select(letters.c.global_position), kind)
    first = statement.order_by(letters.c.global_position).limit(MAX_AT_ONCE + 1)
    return [row.global_position for row in execute(db, first, {}, WRITES)]


def _of_kind(statement: Select[tuple[object, ...]], kind: Kind) -> Select[tuple[object, ...]]:
    return statement.where(
        letters.c.consumer == kind.consumer,
        letters.c.failed,
        _type == kind.type,
        _error == kind.error,
    )
