"""The messages that a consumer has yet to handle."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Double,
    FromClause,
    Select,
    Text,
    and_,
    any_,
    case,
    cast,
    column,
    exists,
    extract,
    func,
    literal,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import array

from mdb_sqla import functions
from mdb_sqla.column_types import fits_datetime
from mdb_sqla.database.execution import WRITES, Database, execute
from mdb_sqla.store.read_arguments import CategoryFilters
from mdb_sqla.tables import messages

__all__ = [
    "LAG_SETTINGS",
    "MAX_COUNTED",
    "Backlog",
    "Positions",
    "count_backlog",
    "has_backlog",
    "slot_of",
]

MAX_COUNTED = 100_000
"""The maximum number of messages to count, which takes about a tenth of a second."""

# The planner misestimates how many rows a category has beyond a position, and must not sort all of
# them to find the first ones. The server functions that read categories use the same settings.
LAG_SETTINGS = {
    "statement_timeout": "5s",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
    "jit": "off",
}
"""The settings with which to execute the statements of a lag."""


class Positions(NamedTuple):
    """The positions of a consumer by slot, and the number of its slots."""

    by_slot: Mapping[int, int]
    slots: int

    def lowest(self, start: int) -> int:
        """Return the position up to which every slot has handled all messages.

        Args:
            start: the global position at which a slot starts that has no position yet.
        """
        if len(self.by_slot) >= self.slots:
            return min(self.by_slot.values())
        return max(start - 1, 0)


class Backlog(NamedTuple):
    """The messages that a consumer has yet to handle. See `Lag`."""

    messages: int
    at_least: bool
    seconds: float


def count_backlog(
    db: Database,
    positions: Positions,
    categories: Collection[str],
    *,
    start: int,
    types: Collection[str] | None,
    examine: int,
    filters: CategoryFilters,
) -> Backlog:
    """Return the messages beyond a consumer's positions.

    Args:
        db: a session or connection with `LAG_SETTINGS`.
        positions: the positions.
        categories: the categories that the consumer reads; empty for all.
        start: the global position that the consumer starts at if it has never run.
        types: the message types that it handles; None for all.
        examine: the maximum number of messages to examine, over all categories.
        filters: the consumer's filters.
    """
    beyond = _MessagesBeyond(positions, start, types, filters)
    limit = max(examine // max(len(categories), 1), 1)
    rows = execute(db, beyond.counted([*categories], limit), {}, WRITES)
    return Backlog(
        messages=sum(row.number for row in rows),
        at_least=any(row.examined >= limit for row in rows),
        seconds=max(0.0, *(row.seconds for row in rows)),
    )


def has_backlog(
    db: Database,
    positions: Positions,
    categories: Collection[str],
    *,
    start: int,
    types: Collection[str] | None,
    up_to: int,
) -> bool:
    """Return whether a consumer has yet to handle a message up to a global position.

    Args:
        db: a session or connection.
        positions: the positions.
        categories: the categories that the consumer reads.
        start: the global position that the consumer starts at if it has never run.
        types: the message types that it handles; None for all.
        up_to: the global position.
    """
    beyond = _MessagesBeyond(positions, start, types, CategoryFilters())
    return any(beyond.exist(db, name, up_to) for name in categories)


class _MessagesBeyond:
    """The messages beyond a consumer's positions."""

    def __init__(
        self,
        positions: Positions,
        start: int,
        types: Collection[str] | None,
        filters: CategoryFilters,
    ) -> None:
        self._positions, self._number = positions
        self._lowest = positions.lowest(start)
        self._start = max(start - 1, 0)
        self._types = types
        self._filters = filters

    def counted(self, categories: list[str], limit: int) -> Select[Any]:
        """Select the number of messages, how many were examined, and the age of the oldest.

        There is a row for each category, or one for all categories if there are none.
        """
        if not categories:
            return self._counted(self._beyond(None).limit(limit).subquery("messages"), limit)
        requested = (
            func.unnest(cast(categories, ARRAY(Text)))
            .table_valued(column("category", Text))
            .render_derived(name="requested")
        )
        of_one = self._beyond(requested.c.category).limit(limit).correlate(requested)
        counted = self._counted(of_one.lateral("messages"), limit).correlate(requested)
        found = counted.lateral("counted")
        return select(found).select_from(requested.join(found, true()))

    def _counted(self, examined: FromClause, limit: int) -> Select[Any]:
        is_one = and_(*self._conditions(examined.c))
        # Infinity has no age; before PostgreSQL 17 it can't even be subtracted.
        has_age = fits_datetime(examined.c.time)
        last = case((func.count() >= limit, func.max(examined.c.time).filter(has_age)))
        since = func.coalesce(func.min(examined.c.time).filter(is_one, has_age), last)
        age = func.timezone("utc", func.clock_timestamp()) - since
        columns: list[ColumnElement[Any]] = [
            func.count().filter(is_one).label("number"),
            func.count().label("examined"),
            func.coalesce(cast(extract("epoch", age), Double), 0.0).label("seconds"),
        ]
        return select(*columns).select_from(examined)

    def exist(self, db: Database, category: str, up_to: int) -> bool:
        """Return whether there is a message up to a global position."""
        beyond = self._beyond(literal(category))
        examined = beyond.where(messages.c.global_position <= up_to).subquery()
        statement = select(exists().where(*self._conditions(examined.c)))
        return bool(execute(db, statement, {}, WRITES)[0][0])

    def _beyond(self, category: ColumnElement[str] | None) -> Select[Any]:
        """Select the messages beyond the lowest position, in order."""
        position, statement = messages.c.global_position, select(messages)
        statement = statement.where(position > self._lowest)
        if category is None:
            return statement.order_by(position)
        # Compared as in `get_category_messages`, so only one index is suitable.
        of_category = functions.category(messages.c.stream_name)
        return statement.where(of_category == any_(array([category]))).order_by(
            of_category, position
        )

    def _conditions(self, message: Any) -> Iterable[ColumnElement[bool]]:
        """Return the filters of a category read, and the condition on each slot's position."""
        yield true()
        if self._number > 1:
            # A slot that no member has acquired yet has no position.
            slot = slot_of(message.stream_name, self._number)
            done = case(dict(self._positions), value=slot, else_=self._start)
            yield message.global_position > done
        if self._types is not None:
            yield message.type.in_(self._types)
        correlation = self._filters.get("correlation")
        if correlation is not None:
            of_message = message.metadata["correlationStreamName"].astext
            yield functions.category(of_message) == correlation
        size = self._filters.get("consumer_group_size")
        if size is not None:
            member = self._filters.get("consumer_group_member")
            yield slot_of(message.stream_name, size) == member
        condition = self._filters.get("condition")
        if condition is not None:
            # The application's SQL, embedded in the same way as by the server functions.
            yield literal_column(f"({condition})")


def slot_of(stream_name: Any, number: int) -> ColumnElement[int]:
    """Return the slot of a stream, computed like the server function `is_member` does."""
    name = func.coalesce(functions.cardinal_id(stream_name), stream_name)
    return func.abs(functions.hash_64(name) % number, type_=BigInteger)
