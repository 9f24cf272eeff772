"""A consumer's positions and lag."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    Select,
    and_,
    any_,
    case,
    cast,
    extract,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import array

from mdb_sqla import functions
from mdb_sqla.column_types import fits_datetime
from mdb_sqla.consumers.dead_letter_queue import count_dead_letters
from mdb_sqla.database.execution import WRITES, Database, connection_of, database, execute
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.store.read_arguments import CategoryFilters, checked_filters
from mdb_sqla.tables import consumer_slots as slots
from mdb_sqla.tables import messages
from mdb_sqla.words.argument_checks import described, integer, text
from mdb_sqla.words.stream_name import category_name

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["MAX_COUNTED", "Lag", "lag"]

MAX_COUNTED = 100_000
"""The maximum number of messages to count, which takes about a tenth of a second."""

# The planner misestimates how many rows a category has beyond a position, and must not sort all of
# them to find the first ones. The server functions that read categories use the same settings.
_SETTINGS = {
    "statement_timeout": "5s",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
    "jit": "off",
}


@dataclass(frozen=True)
class Lag:
    """A consumer's positions and lag.

    Attributes:
        positions: by slot, the global position up to which all messages are handled. A consumer
            without a group has only slot 0; one that has never run has none.
        messages: the number of messages still to be handled.
        at_least: whether there may be more, because only a limited number, by default 100,000, was
            examined.
        seconds: the age of the oldest message still to be handled; 0 if there is none. If the
            filters exclude all messages that were examined, the age of the last of these, which is
            an upper bound. Times that Python can't represent, such as infinity, are ignored.
        dead_letters: the number of dead letters, which `messages` does not include.
    """

    positions: Mapping[int, int]
    messages: int
    at_least: bool
    seconds: float
    dead_letters: int

    def as_dict(self) -> dict[str, Any]:
        """Return the lag as JSON-compatible values."""
        return {"messages": self.messages, "at_least": self.at_least, "seconds": self.seconds}

    @property
    def position(self) -> int | None:
        """The lowest position of any slot; None if there is none."""
        return min(self.positions.values(), default=None)


def lag(
    db: Database,
    consumer: str,
    *categories: str,
    start: int = 1,
    types: Collection[str] | None = None,
    examine: int = MAX_COUNTED,
    **filters: Unpack[CategoryFilters],
) -> Lag:
    """Return a consumer's positions and lag.

    Only a limited number of messages beyond the position is examined, so a large store takes no
    longer than a small one. The consumer need not be running. A group has one lag for all of its
    members.

    Args:
        db: a session or connection in a transaction, which is left unchanged.
        consumer: the consumer's name.
        categories: the categories that the consumer reads; all if none is given.
        start: the global position that the consumer starts at if it has never run.
        types: the message types that the consumer handles; None for all. Other types are not
            counted.
        examine: the maximum number of messages to examine; by default 100,000.
        filters: the consumer's filters. With `consumer_group_member`, the lag of that member.

    Raises:
        InvalidArgument: an argument is invalid.
        OperationalError: a statement took longer than five seconds.
        StoreNotInstalled: the database has no store.
    """
    db = database(db)
    consumer, filters = text("consumer", consumer), checked_filters(filters)
    names: list[str | None] = list(dict.fromkeys(category_name(name) for name in categories))
    if isinstance(types, str):
        raise InvalidArgument(f"types must be a list of strings, or None, got {described(types)}")
    with connection_of(db).begin_nested() as savepoint:
        _set(db)
        member = filters.get("consumer_group_member")
        positions, number = _positions(db, consumer, member)
        backlog = _Backlog(positions, number, max(start - 1, 0), types, filters)
        limit = max(integer("examine", examine, 1) // max(len(names), 1), 1)
        counted = [backlog.count(db, name, limit) for name in names or [None]]
        found = Lag(
            positions=positions,
            messages=sum(messages for messages, _, _ in counted),
            at_least=any(examined >= limit for _, examined, _ in counted),
            seconds=max(0.0, *(seconds for _, _, seconds in counted)),
            dead_letters=count_dead_letters(db, consumer, member),
        )
        # Restores the settings.
        savepoint.rollback()
    return found


class _Backlog:
    """The messages beyond a consumer's positions."""

    def __init__(
        self,
        positions: Mapping[int, int],
        number: int,
        start: int,
        types: Collection[str] | None,
        filters: CategoryFilters,
    ) -> None:
        self._positions = positions
        self._number = number
        self._start = start
        self._types = types
        self._filters = filters

    def count(self, db: Database, category: str | None, limit: int) -> tuple[int, int, float]:
        """Return the number of messages, how many were examined, and the age of the oldest."""
        examined = self._beyond(category).limit(limit).subquery("messages")
        is_one = and_(*self._conditions(examined.c))
        # Infinity has no age; before PostgreSQL 17 it can't even be subtracted.
        has_age = fits_datetime(examined.c.time)
        last = case((func.count() >= limit, func.max(examined.c.time).filter(has_age)))
        since = func.coalesce(func.min(examined.c.time).filter(is_one, has_age), last)
        age = func.timezone("utc", func.clock_timestamp()) - since
        statement = select(
            func.count().filter(is_one).label("number"),
            func.count().label("examined"),
            func.coalesce(cast(extract("epoch", age), Double), 0.0).label("seconds"),
        )
        (row,) = execute(db, statement, {}, WRITES)
        return row.number, row.examined, row.seconds

    def _beyond(self, category: str | None) -> Select[Any]:
        """Select the messages beyond the lowest position, in order."""
        lowest = self._start
        if len(self._positions) >= self._number:
            lowest = min(self._positions.values())
        position, statement = messages.c.global_position, select(messages)
        if category is None:
            return statement.where(position > lowest).order_by(position)
        # Compared as in `get_category_messages`, so only one index is suitable.
        of_category = functions.category(messages.c.stream_name)
        return statement.where(of_category == any_(array([category])), position > lowest).order_by(
            of_category, position
        )

    def _conditions(self, message: Any) -> Iterable[ColumnElement[bool]]:
        """Return the filters of a category read, and the condition on each slot's position."""
        yield true()
        if self._number > 1:
            # A slot that no member has acquired yet has no position.
            slot = _slot(message.stream_name, self._number)
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
            yield _slot(message.stream_name, size) == member
        condition = self._filters.get("condition")
        if condition is not None:
            # The application's SQL, embedded in the same way as by the server functions.
            yield literal_column(f"({condition})")


def _set(db: Database) -> None:
    settings = (func.set_config(name, value, True) for name, value in _SETTINGS.items())
    execute(db, select(*settings), {}, WRITES)


def _positions(db: Database, consumer: str, member: int | None) -> tuple[dict[int, int], int]:
    """Return the positions by slot, and the number of slots."""
    statement = select(slots.c.slot, slots.c.position, slots.c.slots).order_by(slots.c.slot)
    statement = statement.where(slots.c.consumer == consumer)
    if member is not None:
        statement = statement.where(slots.c.slot == member)
    rows = execute(db, statement, {}, WRITES)
    number = 1 if member is not None or not rows else rows[0].slots
    return {row.slot: row.position for row in rows}, number


def _slot(stream_name: Any, number: int) -> ColumnElement[int]:
    """Return the slot of a stream, computed like the server function `is_member` does."""
    name = func.coalesce(functions.cardinal_id(stream_name), stream_name)
    return func.abs(functions.hash_64(name) % number, type_=BigInteger)
