"""An event in words."""

from __future__ import annotations

from datetime import datetime

from flights.events import Arrived, Cancelled, Departed, Diverted, Event

__all__ = ["sentence"]


def sentence(event: Event) -> str:
    """Tell what happened."""
    match event:
        case Departed(origin, destination, scheduled, delay):
            return f"left {origin} for {destination} on {_day(scheduled)}, {_late(delay)}"
        case Arrived(airport, clock, delay):
            return f"arrived in {airport} at {clock}, {_late(delay)}"
        case Diverted(destination):
            return f"did not reach {destination}"
        case Cancelled(origin, destination, scheduled):
            return f"from {origin} to {destination} on {_day(scheduled)} was cancelled"


def _day(scheduled: str) -> str:
    moment = datetime.fromisoformat(scheduled)
    return f"{moment.day} {moment:%B}"


def _late(minutes: int | None) -> str:
    if minutes is None:
        return "no one says how late"
    if minutes == 0:
        return "on time"
    return f"{abs(minutes)} minutes {'late' if minutes > 0 else 'early'}"
