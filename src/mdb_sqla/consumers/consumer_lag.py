"""A consumer's positions and lag."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from mdb_sqla.consumers.backlog import LAG_SETTINGS, MAX_COUNTED, Positions, count_backlog
from mdb_sqla.consumers.dead_letter_queue import count_dead_letters
from mdb_sqla.database.citus import Unoffered, refuse_on_citus
from mdb_sqla.database.execution import WRITES, Database, connection_of, database, execute
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.store.read_arguments import CategoryFilters, checked_filters
from mdb_sqla.tables import consumer_slots as slots
from mdb_sqla.words.argument_checks import described, integer, text
from mdb_sqla.words.stream_name import category_name

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Lag", "lag"]


@dataclass(frozen=True)
class Lag:
    """A consumer's positions and lag.

    Attributes:
        positions: by slot, the global position up to which all messages are handled. A consumer
            without a group has only slot 0; one that has never run has none.
        messages: the number of messages still to be handled.
        at_least: whether there may be more, because only a limited number was examined.
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
    examine: int | None = None,
    **filters: Unpack[CategoryFilters],
) -> Lag:
    """Return a consumer's positions and lag.

    A limited number of messages beyond the position is examined, so a large store takes no longer
    than a small one. The consumer need not be running. A group has one lag for all of its members.

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
        NotOffered: the store is distributed with Citus.
        OperationalError: a statement took longer than five seconds.
        StoreNotInstalled: the database has no store.
    """
    db = database(db)
    consumer, filters = text("consumer", consumer), checked_filters(filters)
    names = list(dict.fromkeys(category_name(name) for name in categories))
    if isinstance(types, str):
        raise InvalidArgument(f"types must be a list of strings, or None, got {described(types)}")
    refuse_on_citus(db, Unoffered.CONSUMERS)
    with connection_of(db).begin_nested() as savepoint:
        _set(db)
        member = filters.get("consumer_group_member")
        positions = _positions(db, consumer, member)
        backlog = count_backlog(
            db,
            positions,
            names,
            start=start,
            types=types,
            examine=MAX_COUNTED if examine is None else integer("examine", examine, 1),
            filters=filters,
        )
        found = Lag(
            positions.by_slot, *backlog, dead_letters=count_dead_letters(db, consumer, member)
        )
        # Restores the settings.
        savepoint.rollback()
    return found


def _set(db: Database) -> None:
    settings = (func.set_config(name, value, True) for name, value in LAG_SETTINGS.items())
    execute(db, select(*settings), {}, WRITES)


def _positions(db: Database, consumer: str, member: int | None) -> Positions:
    statement = select(slots.c.slot, slots.c.position, slots.c.slots).order_by(slots.c.slot)
    statement = statement.where(slots.c.consumer == consumer)
    if member is not None:
        statement = statement.where(slots.c.slot == member)
    rows = execute(db, statement, {}, WRITES)
    number = 1 if member is not None or not rows else rows[0].slots
    return Positions({row.slot: row.position for row in rows}, number)
