"""How far a consumer is, and what still lies before it."""

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
from mdb_sqla.column_types import held_by_python
from mdb_sqla.consumers.dead_letter_queue import number_set_aside
from mdb_sqla.database.execution import WRITES, Database, connection_of, database, execute
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.store.read_arguments import CategoryFilters, checked_filters
from mdb_sqla.tables import consumer_slots as slots
from mdb_sqla.tables import messages
from mdb_sqla.words.argument_checks import described, text
from mdb_sqla.words.stream_name import category_name

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["MOST", "Lag", "lag"]

MOST = 100_000
"""At how many messages beyond a consumer's position is looked: work for a tenth of a second."""

# The planner guesses badly how many rows a category has beyond a position, and must not sort all of
# them to find the first ones; the functions that read categories have the same settings.
_SETTINGS = {
    "statement_timeout": "5s",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
    "jit": "off",
}


@dataclass(frozen=True)
class Lag:
    """How far a consumer is, and what still lies before it.

    Attributes:
        positions: by slot, the global position up to which all is done; a consumer without a group
            has slot 0, and one that never ran has none.
        messages: how many messages it has yet to handle.
        at_least: whether there may be more, as no more than `MOST` were looked at.
        seconds: the age of the oldest of them; 0 where there is none. Where all that were looked at
            are ruled out by a filter, the age of the last of those: nothing older is to be handled.
            A time that Python does not have, such as infinity, has no age.
        dead_letters: how many messages it has set aside; they are not among those above.
    """

    positions: Mapping[int, int]
    messages: int
    at_least: bool
    seconds: float
    dead_letters: int

    def as_dict(self) -> dict[str, Any]:
        """Return what lies before it as what JSON can hold."""
        return {"messages": self.messages, "at_least": self.at_least, "seconds": self.seconds}

    @property
    def position(self) -> int | None:
        """The position of the slot that is least far; None where none has begun."""
        return min(self.positions.values(), default=None)


def lag(
    db: Database,
    consumer: str,
    *categories: str,
    start: int = 1,
    types: Collection[str] | None = None,
    **filters: Unpack[CategoryFilters],
) -> Lag:
    """Return how far a consumer is, and what lies before it.

    It looks at the messages beyond the position only, and at no more than `MOST` of them, so that
    it takes as long in a large store as in a small one. The consumer need not run; one that has a
    group has one lag, which is that of all its members.

    Args:
        db: a session or connection in a transaction, which is left as it was.
        consumer: its name.
        categories: what it reads; none of them means all there are.
        start: the global position that it begins with where it never ran.
        types: the types that it handles; None for any. Others are left out, as it leaves them out.
        filters: those of the consumer. With `consumer_group_member` it is the lag of that member.

    Raises:
        InvalidArgument: an argument breaks its rule.
        OperationalError: a statement took longer than five seconds.
        StoreNotInstalled: there is no store in the database.
    """
    db = database(db)
    consumer, filters = text("A consumer's name", consumer), checked_filters(filters)
    names: list[str | None] = list(dict.fromkeys(category_name(name) for name in categories))
    if isinstance(types, str):
        raise InvalidArgument(f"types must be several, or None for any: {described(types)}")
    with connection_of(db).begin_nested() as savepoint:
        _set(db)
        member = filters.get("consumer_group_member")
        positions, number = _positions(db, consumer, member)
        rest = _Rest(positions, number, max(start - 1, 0), types, filters)
        most = max(MOST // max(len(names), 1), 1)
        counted = [rest.count(db, name, most) for name in names or [None]]
        found = Lag(
            positions=positions,
            messages=sum(messages for messages, _, _ in counted),
            at_least=any(looked_at >= most for _, looked_at, _ in counted),
            seconds=max(0.0, *(seconds for _, _, seconds in counted)),
            dead_letters=number_set_aside(db, consumer, member),
        )
        # It takes back the settings.
        savepoint.rollback()
    return found


class _Rest:
    """The messages that lie beyond a consumer's positions."""

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

    def count(self, db: Database, category: str | None, most: int) -> tuple[int, int, float]:
        """Return how many there are, among how many that were looked at, and how old they are."""
        looked_at = self._beyond(category).limit(most).subquery("messages")
        is_one = and_(*self._conditions(looked_at.c))
        # Before PostgreSQL 17 infinity has no difference from now, and later it is no age either.
        has_age = held_by_python(looked_at.c.time)
        last = case((func.count() >= most, func.max(looked_at.c.time).filter(has_age)))
        since = func.coalesce(func.min(looked_at.c.time).filter(is_one, has_age), last)
        age = func.timezone("utc", func.clock_timestamp()) - since
        statement = select(
            func.count().filter(is_one).label("number"),
            func.count().label("looked_at"),
            func.coalesce(cast(extract("epoch", age), Double), 0.0).label("seconds"),
        )
        (row,) = execute(db, statement, {}, WRITES)
        return row.number, row.looked_at, row.seconds

    def _beyond(self, category: str | None) -> Select[Any]:
        """Select what lies beyond the position that is least far, in order."""
        least = self._start
        if len(self._positions) >= self._number:
            least = min(self._positions.values())
        position, statement = messages.c.global_position, select(messages)
        if category is None:
            return statement.where(position > least).order_by(position)
        # Compared as in `get_category_messages`, so that only one index serves.
        of_category = functions.category(messages.c.stream_name)
        return statement.where(of_category == any_(array([category])), position > least).order_by(
            of_category, position
        )

    def _conditions(self, message: Any) -> Iterable[ColumnElement[bool]]:
        """What the functions that read categories keep, and what is beyond its slot's position."""
        yield true()
        if self._number > 1:
            # There may be a slot that no member has taken yet.
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
            # The application's own SQL, as the server's functions put it into theirs.
            yield literal_column(f"({condition})")


def _set(db: Database) -> None:
    settings = (func.set_config(name, value, True) for name, value in _SETTINGS.items())
    execute(db, select(*settings), {}, WRITES)


def _positions(db: Database, consumer: str, member: int | None) -> tuple[dict[int, int], int]:
    """Return the positions by slot, and how many slots there are."""
    statement = select(slots.c.slot, slots.c.position, slots.c.slots).order_by(slots.c.slot)
    statement = statement.where(slots.c.consumer == consumer)
    if member is not None:
        statement = statement.where(slots.c.slot == member)
    rows = execute(db, statement, {}, WRITES)
    number = 1 if member is not None or not rows else rows[0].slots
    return {row.slot: row.position for row in rows}, number


def _slot(stream_name: Any, number: int) -> ColumnElement[int]:
    """The slot of a stream, as the server's `is_member` has it."""
    name = func.coalesce(functions.cardinal_id(stream_name), stream_name)
    return func.abs(functions.hash_64(name) % number, type_=BigInteger)
