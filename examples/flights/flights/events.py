"""The events of a flight, and the streams and messages that carry them.

The class name is the message type, and the fields are the data.
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
    """The aircraft departed; `scheduled` is New York time with its UTC offset."""

    origin: str
    destination: str
    scheduled: str
    delay: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """The aircraft arrived, at `clock` in local time; the delay may be unknown."""

    airport: str
    clock: str
    delay: int | None


@dataclass(frozen=True, slots=True)
class Diverted:
    """The aircraft departed, but did not arrive; it is unknown where it landed."""

    destination: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The flight was cancelled; `scheduled` is New York time with its UTC offset."""

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
    """Return the stream of the aircraft, or of the airline if no aircraft was assigned."""
    if flight.tail_number is None:
        return StreamName.build("airline", flight.carrier)
    return StreamName.build("aircraft", flight.tail_number)


def message_for(event: Event, flight: Flight) -> Message:
    """Return the message for an event of a flight."""
    return Message(
        type(event).__name__,
        asdict(event),
        {"correlationStreamName": _correlation(flight)},
    )


def _correlation(flight: Flight) -> StreamName:
    """Name the flight, to correlate its messages across streams."""
    departure = flight.scheduled.astimezone(UTC)
    return StreamName.build(
        "flight", f"{flight.carrier}{flight.number}", f"{departure:%Y-%m-%dT%H:%MZ}"
    )


def read(message: StoredMessage) -> Event:
    """Return the event that a message carries."""
    return _KINDS[message.type](**message.data)
