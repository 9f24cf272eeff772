"""What holds back the retention job: the consumers and dead letters that still need messages."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import any_, case, func, literal, or_, select

from mdb_sqla import functions
from mdb_sqla.database.execution import WRITES, Database, execute
from mdb_sqla.tables import consumer_slots as slots
from mdb_sqla.tables import consumers
from mdb_sqla.tables import dead_letters as letters

__all__ = ["Hold", "Reader", "dead_letters", "readers"]


class Reader(NamedTuple):
    """A consumer or relay that reads a category, and the position up to which it has handled it."""

    consumer: str
    position: int


class Hold(NamedTuple):
    """What keeps messages that no rule of the policy keeps.

    Attributes:
        consumer: the consumer or relay; None if no consumer reads the category, which a policy
            without rules waits for.
        position: the global position up to which the consumer has handled all messages; messages
            after it are kept.
        dead_letters: the number of its dead letters; they are kept, and the later messages of their
            streams. 0 if its position holds messages back.
    """

    consumer: str | None
    position: int | None = None
    dead_letters: int = 0

    def __str__(self) -> str:
        """Return what holds back the job, in words."""
        if self.consumer is None:
            return "no consumer reads the category"
        if self.dead_letters:
            number = self.dead_letters
            return f"consumer {self.consumer} has {number:,} dead letter{'s' * (number != 1)}"
        return f"consumer {self.consumer} is at {self.position or 0:,}"


def readers(db: Database, category: str | None) -> list[Reader]:
    """Return the registered consumers that read a category, or all for None, by name.

    A consumer that has a position, but has not registered what it reads, may read anything. A slot
    that no member has acquired yet starts where the consumer starts.
    """
    names = select(consumers.c.consumer).union(select(slots.c.consumer)).subquery()
    start = func.greatest(func.coalesce(consumers.c.start, 1) - 1, 0)
    lowest = func.min(slots.c.position)
    number = func.coalesce(func.max(slots.c.slots), 1)
    position = case((func.count(slots.c.slot) < number, func.least(start, lowest)), else_=lowest)
    reads: Any = consumers.c.categories
    statement = (
        select(names.c.consumer, position)
        .select_from(
            names.outerjoin(consumers, consumers.c.consumer == names.c.consumer).outerjoin(
                slots, slots.c.consumer == names.c.consumer
            )
        )
        .where(
            or_(
                literal(category is None),
                reads.is_(None),
                func.cardinality(reads) == 0,
                any_(reads) == category,
            )
        )
        .group_by(names.c.consumer, consumers.c.start)
        .order_by(names.c.consumer)
    )
    return [Reader._make(row) for row in execute(db, statement, {}, WRITES)]


def dead_letters(db: Database, category: str) -> list[Hold]:
    """Return the numbers of dead letters in a category, by consumer."""
    statement = (
        select(letters.c.consumer, func.count().label("number"))
        .where(functions.category(letters.c.stream_name) == category)
        .group_by(letters.c.consumer)
        .order_by(letters.c.consumer)
    )
    rows = execute(db, statement, {}, WRITES)
    return [Hold(row.consumer, dead_letters=row.number) for row in rows]
