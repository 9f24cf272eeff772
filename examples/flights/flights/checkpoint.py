"""How far the consumer `airports` is, and what it has counted so far."""

from __future__ import annotations

from typing import NamedTuple, Self

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from flights.airports import airports
from flights.models import Aircraft, Airport
from mdb_sqla import functions, tables

__all__ = ["Checkpoint"]


class Checkpoint(NamedTuple):
    """The state of the consumer, from a single statement: it commits all of it together.

    Attributes:
        position: the global position up to which it has handled all messages.
        remaining: the number of departures and arrivals that it has yet to handle.
        in_messages: the number of those up to its position.
        in_table: the number of those that its table counts.
    """

    position: int
    remaining: int
    in_messages: int
    in_table: int

    @classmethod
    def read(cls, session: Session) -> Self:
        """Read the current state."""
        m, slots = tables.messages.c, tables.consumer_slots.c
        position = (
            select(func.coalesce(func.max(slots.position), 0))
            .where(slots.consumer == airports.name)
            .scalar_subquery()
        )
        counted = select(
            func.coalesce(func.sum(Airport.departures + Airport.arrivals), 0)
        ).scalar_subquery()
        statement = select(
            position,
            func.count().filter(m.global_position > position),
            func.count().filter(m.global_position <= position),
            counted,
        ).where(
            functions.category(m.stream_name) == Aircraft.category,
            m.type.in_(["Departed", "Arrived"]),
        )
        return cls(*session.execute(statement).one())
