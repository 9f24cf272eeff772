"""A sentence about an event."""

from __future__ import annotations

from datetime import datetime

from flights.events import Arrived, Cancelled, Departed, Diverted, Event

__all__ = ["sentence"]


def sentence(event: Event) -> str:
    """Describe what happened."""
    match event:
        case Departed(origin, destination, scheduled, delay):
            return f"left {origin} for {destination} on {_day(scheduled)}, {_punctuality(delay)}"
        case Arrived(airport, clock, delay):
            return f"arrived at {airport} at {clock}, {_punctuality(delay)}"
        case Diverted(destination):
            return f"did not reach {destination}"
        case Cancelled(origin, destination, scheduled):
            return f"{origin} to {destination} on {_day(scheduled)} was cancelled"


def _day(scheduled: str) -> str:
    moment = datetime.fromisoformat(scheduled)
    return f"{moment:%B} {moment.day}"


def _punctuality(minutes: int | None) -> str:
    if minutes is None:
        return "delay unknown"
    if minutes == 0:
        return "on time"
    return f"{abs(minutes)} min {'late' if minutes > 0 else 'early'}"
