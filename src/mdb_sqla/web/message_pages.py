"""Pages of the messages of a stream, of a category or of the whole store, with filters."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    any_,
    cast,
    select,
)
from sqlalchemy.dialects.postgresql import array

from mdb_sqla import functions
from mdb_sqla.column_types import fits_datetime
from mdb_sqla.database.execution import WRITES, execute
from mdb_sqla.tables import messages
from mdb_sqla.web.message_rows import COLUMNS, MessageRow, shown_json

__all__ = ["PAGE_SIZE", "Filters", "MessagePage", "Source", "position_at", "read_page"]

PAGE_SIZE = 50
"""The number of messages on a page."""

_CHUNK = 1_000  # messages to examine with one statement, at most
_FIRST_CHUNK = 20  # messages to examine with the first one: all of them may be very large
_FAST, _SLOW = 0.05, 0.2  # seconds for a chunk, after which the next one is larger or smaller
_PROBED = 100  # messages to examine with one statement of a binary search
_SECONDS = 0.6  # how long to look for messages that match the filters


@dataclass(frozen=True)
class Source:
    """Where messages are read: a stream, a category, or with neither the whole store."""

    stream: str | None = None
    category: str | None = None

    def ordered(self, *columns: Any, newest_first: bool) -> Select[Any]:
        """Select columns of the messages, in the order of an index that contains them."""
        statement = select(*columns)
        order: list[ColumnElement[Any]] = [self.place]
        if self.stream is not None:
            statement = statement.where(messages.c.stream_name == self.stream)
        elif self.category is not None:
            # Compared as in `get_category_messages`, so only one index is suitable.
            of_category = functions.category(messages.c.stream_name)
            statement = statement.where(of_category == any_(array([self.category])))
            order.insert(0, of_category)
        return statement.order_by(*(each.desc() if newest_first else each for each in order))

    @property
    def place(self) -> ColumnElement[int]:
        """The column of the position by which the messages are ordered."""
        return messages.c.global_position if self.stream is None else messages.c.position

    def place_of(self, row: MessageRow) -> int:
        """Return the position by which a message is ordered."""
        return row.global_position if self.stream is None else row.position


@dataclass(frozen=True)
class Filters:
    """Which messages to show.

    Attributes:
        type: only of this type.
        text: only with this text in as much of their data as a page shows, regardless of case.
        since: only of this time or later.
    """

    type: str | None = None
    text: str | None = None
    since: datetime | None = None

    @property
    def is_selective(self) -> bool:
        """Whether there are any filters."""
        return self != Filters()

    def apply(self, statement: Select[Any]) -> Select[Any]:
        """Add the filters to a statement."""
        if self.type is not None:
            statement = statement.where(messages.c.type == self.type)
        if self.text is not None:
            statement = statement.where(
                shown_json(messages.c.data).icontains(self.text, autoescape=True)
            )
        if self.since is not None:
            statement = statement.where(messages.c.time >= self.since)
        return statement


@dataclass(frozen=True)
class MessagePage:
    """A page of messages.

    Attributes:
        rows: the messages, in the order of the page.
        next: the position beyond which the next page begins; None if this is the last one.
        examined: the last position that was examined, if the search was stopped early for its
            duration; the page may be incomplete.
    """

    rows: list[MessageRow]
    next: int | None
    examined: int | None


def read_page(
    db: Connection,
    source: Source,
    filters: Filters,
    *,
    newest_first: bool,
    beyond: int | None = None,
    size: int = PAGE_SIZE,
) -> MessagePage:
    """Return a page of messages.

    Args:
        db: a connection.
        source: where to read.
        filters: which messages to return. They are looked for during a limited time.
        newest_first: the order.
        beyond: the position, in the stream or else the global one, after which the page begins in
            this order; None for the first page.
        size: the maximum number of messages.
    """
    found: list[MessageRow] = []
    number = min(_FIRST_CHUNK, _CHUNK) if filters.is_selective else size + 1
    end = time.monotonic() + _SECONDS
    while True:
        began = time.monotonic()
        place = source.place.label("place")
        chunk = source.ordered(messages.c.global_position, place, newest_first=newest_first)
        if beyond is not None:
            is_beyond = source.place < beyond if newest_first else source.place > beyond
            chunk = chunk.where(is_beyond)
        places = execute(db, chunk.limit(number), {}, WRITES)
        found += _matching(db, [row.global_position for row in places], source, filters)
        if len(found) > size:
            found.sort(key=source.place_of, reverse=newest_first)
            return MessagePage(found[:size], source.place_of(found[size - 1]), None)
        if len(places) < number:
            return MessagePage(sorted(found, key=source.place_of, reverse=newest_first), None, None)
        beyond, now = places[-1].place, time.monotonic()
        if now >= end:
            found.sort(key=source.place_of, reverse=newest_first)
            return MessagePage(found, beyond, beyond)
        if now - began < _FAST:
            number = min(4 * number, _CHUNK)
        elif now - began > _SLOW:
            number = max(number // 4, 1)


def _matching(
    db: Connection, positions: list[int], source: Source, filters: Filters
) -> list[MessageRow]:
    # By the primary key: the planner might scan a range of all categories for one of them.
    is_one = messages.c.global_position == any_(cast(positions, ARRAY(BigInteger)))
    statement = filters.apply(select(*COLUMNS).where(is_one))
    return [MessageRow._make(row) for row in execute(db, statement, {}, WRITES)]


def position_at(db: Connection, source: Source, since: datetime) -> int | None:
    """Return the position of the first message of a time or later; None if there is none.

    A binary search, because no index contains the time. Times increase with the position, except
    that a transaction's time is its start: messages of long transactions may be earlier than those
    around them. `_PROBED` messages at a time are examined, so that few of these do not matter.
    """
    place = source.place.label("place")
    ends = [
        execute(db, source.ordered(place, newest_first=newest).limit(1), {}, WRITES)
        for newest in (False, True)
    ]
    if not all(ends):
        return None
    low, high = ends[0][0].place, ends[1][0].place + 1
    is_later = (messages.c.time >= since) | ~fits_datetime(messages.c.time)
    following = source.ordered(place, is_later.label("is_later"), newest_first=False)
    found: int | None = None
    while low < high:
        middle = (low + high) // 2
        probed = following.where(source.place >= middle).limit(_PROBED)
        rows = execute(db, probed, {}, WRITES)
        later = next((row.place for row in rows if row.is_later), None)
        if later is not None:
            found, high = later, middle
        elif rows and rows[0].place < high:
            low = rows[0].place + 1
        else:
            high = middle
    return found
