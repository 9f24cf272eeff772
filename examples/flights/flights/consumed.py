"""Has every message had its effect, and once? What consumers made, beside what they should."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Executable, case, func, literal, select
from sqlalchemy.orm import Session

from flights.fleet import ARRIVALS_BETWEEN_INSPECTIONS
from flights.models import Airport, Maintenance
from flights.replay import Total
from mdb_sqla import functions, tables

__all__ = ["Consumed"]

_Figures = dict[str, tuple[int, ...]]


class _Compared(NamedTuple):
    due: _Figures
    made: _Figures

    def differing(self) -> list[str]:
        names = self.due.keys() | self.made.keys()
        return sorted(name for name in names if self.due.get(name) != self.made.get(name))

    def total(self, name: str, column: int) -> Total:
        due, made = (sum(row[column] for row in rows.values()) for rows in self)
        return Total(name, due, made)


class Consumed:
    """What follows from the messages about aircraft, and what the consumers made of them.

    The one is added up on the server in a statement over all messages, the other is what the
    consumers' tables and messages say. Both are taken as they are now.
    """

    def __init__(self, session: Session) -> None:
        self.airports = _Compared(
            _figures(session, _airports_due()), _figures(session, _airports_made())
        )
        self.aircraft = _Compared(
            _figures(session, _inspections_due()), _figures(session, _inspections_made())
        )

    def differing(self) -> list[str]:
        """Return the codes of airports and the tail numbers of aircraft that differ."""
        return self.airports.differing() + self.aircraft.differing()

    def totals(self) -> list[Total]:
        """Add up the main figures."""
        return [
            self.airports.total("airport departures", 0),
            self.airports.total("airport arrivals", 1),
            self.airports.total("airport minutes late", 2),
            self.aircraft.total("inspections asked for", 1),
            self.aircraft.total("inspections done", 2),
            self.aircraft.total("inspections heard of", 3),
        ]


def _figures(session: Session, statement: Executable) -> _Figures:
    return {name: tuple(figures) for name, *figures in session.execute(statement)}


def _airports_due() -> Executable:
    m = tables.messages.c
    has_left = m.type == "Departed"
    code = case((has_left, m.data["origin"].as_string()), else_=m.data["airport"].as_string())
    # An unknown delay is none: GREATEST leaves NULL out.
    delay = func.greatest(m.data["delay"].as_integer(), 0)
    return (
        select(
            code,
            func.count().filter(has_left),
            func.count().filter(~has_left),
            func.sum(delay),
            func.max(delay),
        )
        .where(functions.category(m.stream_name) == "aircraft", m.type.in_(["Departed", "Arrived"]))
        .group_by(code)
    )


def _airports_made() -> Executable:
    return select(
        Airport.code,
        Airport.departures,
        Airport.arrivals,
        Airport.minutes_late,
        Airport.longest_delay,
    )


def _inspections_due() -> Executable:
    m = tables.messages.c
    arrivals = func.count()
    # Each was asked for, done and heard of, and none is due any more.
    inspections = arrivals // ARRIVALS_BETWEEN_INSPECTIONS
    return (
        select(functions.id(m.stream_name), arrivals, *3 * [inspections], literal(0))
        .where(functions.category(m.stream_name) == "aircraft", m.type == "Arrived")
        .group_by(functions.id(m.stream_name))
    )


def _inspections_made() -> Executable:
    m = tables.messages.c
    correlation = functions.category(m.metadata["correlationStreamName"].as_string())
    category = functions.category(m.stream_name)
    caused = (
        select(
            functions.id(m.stream_name).label("tail_number"),
            func.count().filter(m.type == "Inspect").label("asked"),
            func.count().filter(m.type == "Inspected").label("done"),
        )
        .where(category.in_(["maintenance:command", "maintenance"]), correlation == "fleet")
        .group_by(functions.id(m.stream_name))
        .subquery()
    )
    return select(
        Maintenance.tail_number,
        Maintenance.arrivals,
        func.coalesce(caused.c.asked, 0),
        func.coalesce(caused.c.done, 0),
        Maintenance.done,
        Maintenance.due,
    ).outerjoin(caused, caused.c.tail_number == Maintenance.tail_number)
