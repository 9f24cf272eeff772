"""The application's own tables. They hold the current state; the messages hold its history."""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import BigInteger, select
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, Session, mapped_column

from flights.events import Arrived, Cancelled, Departed, Diverted, Event
from mdb_sqla import StreamName

__all__ = [
    "Aircraft",
    "Airline",
    "Airport",
    "Base",
    "Fees",
    "Maintenance",
    "new_row",
    "rows",
    "stored_row",
]


class Base(MappedAsDataclass, DeclarativeBase):
    """The application's metadata; the message store has its own."""


class Aircraft(Base):
    """An aircraft with flights from New York; `airport` is None while its location is unknown.

    Each of the four counters counts the messages of one type in the aircraft's stream.
    """

    __tablename__ = "aircraft"

    category: ClassVar[str] = "aircraft"

    tail_number: Mapped[str] = mapped_column(primary_key=True)
    airport: Mapped[str | None] = mapped_column(default=None)
    departed: Mapped[int] = mapped_column(default=0)
    arrived: Mapped[int] = mapped_column(default=0)
    diverted: Mapped[int] = mapped_column(default=0)
    cancelled: Mapped[int] = mapped_column(default=0)
    minutes_late: Mapped[int] = mapped_column(default=0)
    last_delay: Mapped[int | None] = mapped_column(default=None)

    @property
    def stream_name(self) -> StreamName:
        """The stream of the aircraft."""
        return StreamName.build(self.category, self.tail_number)

    @property
    def version(self) -> int:
        """The position of the last message in the stream; the first is at 0."""
        return self.departed + self.arrived + self.diverted + self.cancelled - 1

    def apply(self, event: Event) -> None:
        """Apply an event to the row."""
        match event:
            case Departed():
                self.departed += 1
                self.airport = None
            case Arrived(airport=airport, delay=delay):
                self.arrived += 1
                self.airport = airport
                self.minutes_late += max(delay or 0, 0)
                self.last_delay = delay
            case Diverted():
                self.diverted += 1
            case Cancelled():
                self.cancelled += 1


class Airline(Base):
    """An airline that cancelled flights before it assigned an aircraft."""

    __tablename__ = "airlines"

    category: ClassVar[str] = "airline"

    code: Mapped[str] = mapped_column(primary_key=True)
    cancelled: Mapped[int] = mapped_column(default=0)

    @property
    def stream_name(self) -> StreamName:
        """The stream of these cancellations."""
        return StreamName.build(self.category, self.code)

    @property
    def version(self) -> int:
        """The position of the last message in the stream; the first is at 0."""
        return self.cancelled - 1

    def apply(self, event: Event) -> None:
        """Apply an event to the row."""
        match event:
            case Cancelled():
                self.cancelled += 1
            case _:
                raise ValueError(f"An airline's stream has only cancellations, got {event}")


class Airport(Base):
    """The movements of an airport; delays are in minutes, and early counts as on time.

    The consumer `airports` maintains it.
    """

    __tablename__ = "airports"

    code: Mapped[str] = mapped_column(primary_key=True)
    departures: Mapped[int] = mapped_column(default=0)
    arrivals: Mapped[int] = mapped_column(default=0)
    minutes_late: Mapped[int] = mapped_column(default=0)
    longest_delay: Mapped[int] = mapped_column(default=0)


class Maintenance(Base):
    """The arrivals of an aircraft, and its inspections that are due and done.

    The consumers `fleet` and `inspections` maintain it.
    """

    __tablename__ = "maintenance"

    tail_number: Mapped[str] = mapped_column(primary_key=True)
    arrivals: Mapped[int] = mapped_column(default=0)
    due: Mapped[int] = mapped_column(default=0)
    done: Mapped[int] = mapped_column(default=0)


class Fees(Base):
    """The departures of an aircraft that the port authority has charged, and the amount.

    The inbox that receives the charges maintains it.
    """

    __tablename__ = "fees"

    tail_number: Mapped[str] = mapped_column(primary_key=True)
    departures: Mapped[int] = mapped_column(default=0)
    cents: Mapped[int] = mapped_column(BigInteger, default=0)


def new_row(stream_name: StreamName) -> Aircraft | Airline:
    """Return a stream's row in the state before its first message."""
    key = stream_name.ids[0]
    return Airline(key) if stream_name.category == Airline.category else Aircraft(key)


def stored_row(session: Session, stream_name: StreamName) -> Aircraft | Airline | None:
    """Return the stored row of a stream; None if there is none yet."""
    key = stream_name.ids[0]
    if stream_name.category == Airline.category:
        return session.get(Airline, key)
    return session.get(Aircraft, key)


def rows(session: Session) -> dict[str, Aircraft | Airline]:
    """Return all rows, by the names of their streams."""
    found = (*session.scalars(select(Aircraft)), *session.scalars(select(Airline)))
    return {row.stream_name: row for row in found}
