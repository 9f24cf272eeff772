"""A projection: a consumer that maintains a table of movements and delays by airport."""

from __future__ import annotations

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from flights.events import Arrived, Departed
from flights.models import Airport, Base
from mdb_sqla import Consumer, Group, StoredMessage, UnitOfWork

__all__ = ["airports"]

# One slot: one member is active, the others stand by. More slots would partition the messages by
# aircraft, and several members would update the row of the same airport.
airports = Consumer("airports", "aircraft", group=Group(slots=1, lease=3.0), transaction_size=100)


# Built once, from the table instead of the class: an ORM statement takes twice as long.
_table = Base.metadata.tables[Airport.__tablename__]
_new = insert(_table)
_COUNT = _new.on_conflict_do_update(
    index_elements=["code"],
    set_={
        "departures": _table.c.departures + _new.excluded.departures,
        "arrivals": _table.c.arrivals + _new.excluded.arrivals,
        "minutes_late": _table.c.minutes_late + _new.excluded.minutes_late,
        "longest_delay": func.greatest(_table.c.longest_delay, _new.excluded.longest_delay),
    },
)


@airports.on("Departed")
def departed(message: StoredMessage, unit: UnitOfWork) -> None:
    event = Departed(**message.data)
    count(unit.session, event.origin, event.delay, departures=1)


@airports.on("Arrived")
def arrived(message: StoredMessage, unit: UnitOfWork) -> None:
    event = Arrived(**message.data)
    count(unit.session, event.airport, event.delay, arrivals=1)


def count(
    session: Session, code: str, delay: int | None, *, departures: int = 0, arrivals: int = 0
) -> None:
    """Add to the row of an airport; the delay is in minutes, None if unknown."""
    minutes = max(delay or 0, 0)
    figures = {
        "code": code,
        "departures": departures,
        "arrivals": arrivals,
        "minutes_late": minutes,
        "longest_delay": minutes,
    }
    session.execute(_COUNT, figures)
