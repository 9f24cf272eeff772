"""What can happen on a flight, and how it is told: in which stream, with which message.

The name of a class is the type of the message, its fields are the data.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC
from typing import get_args

from flights.data import Flight
from mdb_sqla import Message, StoredMessage, StreamName

__all__ = [
    "Arrived",
    "Cancelled",
    "Departed",
    "Diverted",
    "Event",
    "message_for",
    "read",
    "stream_for",
    "what_happened",
]


@dataclass(frozen=True, slots=True)
class Departed:
    """The aircraft left; `scheduled` is on New York's clock, with its offset from UTC."""

    origin: str
    destination: str
    scheduled: str
    delay: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """It reached its destination, at `clock` there; the data does not always say how late."""

    airport: str
    clock: str
    delay: int | None


@dataclass(frozen=True, slots=True)
class Diverted:
    """It left and did not reach its destination; where it landed is not known."""

    destination: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """It never left; `scheduled` is on New York's clock, with its offset from UTC."""

    origin: str
    destination: str
    scheduled: str


Event = Departed | Arrived | Diverted | Cancelled

_KINDS: dict[str, type[Event]] = {kind.__name__: kind for kind in get_args(Event)}


def what_happened(flight: Flight) -> list[Event]:
    """Return the events of a flight, in order."""
    scheduled = flight.scheduled.isoformat(timespec="minutes")
    if flight.departure_delay is None:
        return [Cancelled(flight.origin, flight.destination, scheduled)]
    departed = Departed(flight.origin, flight.destination, scheduled, flight.departure_delay)
    if flight.arrival is None:
        return [departed, Diverted(flight.destination)]
    clock = flight.arrival.isoformat(timespec="minutes")
    return [departed, Arrived(flight.destination, clock, flight.arrival_delay)]


def stream_for(flight: Flight) -> StreamName:
    """Return the stream of the aircraft; of the airline, if no aircraft was ever assigned."""
    if flight.tail_number is None:
        return StreamName.build("airline", flight.carrier)
    return StreamName.build("aircraft", flight.tail_number)


def message_for(event: Event, flight: Flight) -> Message:
    """Return the message that tells an event of a flight."""
    return Message(
        type(event).__name__,
        asdict(event),
        {"correlationStreamName": _correlation(flight)},
    )


def _correlation(flight: Flight) -> StreamName:
    """Name the flight: it holds together what was told about it, in whichever stream."""
    departure = flight.scheduled.astimezone(UTC)
    return StreamName.build(
        "flight", f"{flight.carrier}{flight.number}", f"{departure:%Y-%m-%dT%H:%MZ}"
    )


def read(message: StoredMessage) -> Event:
    """Return the event that a message tells."""
    return _KINDS[message.type](**message.data)
