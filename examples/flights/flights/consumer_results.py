"""The results of the consumers, compared with what follows from the messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

from sqlalchemy import Executable, case, func, literal, select
from sqlalchemy.orm import Session

from flights.fleet import ARRIVALS_BETWEEN_INSPECTIONS
from flights.models import Airport, Maintenance
from flights.replay import Total
from mdb_sqla import functions, tables

__all__ = ["ConsumerResults"]

_Figures = dict[str, tuple[int, ...]]


class _Comparison(NamedTuple):
    expected: _Figures
    actual: _Figures

    def differing(self) -> list[str]:
        names = self.expected.keys() | self.actual.keys()
        return sorted(name for name in names if self.expected.get(name) != self.actual.get(name))

    def total(self, name: str, column: int) -> Total:
        expected, actual = (sum(row[column] for row in rows.values()) for rows in self)
        return Total(name, expected, actual)


@dataclass(frozen=True)
class ConsumerResults:
    """What the consumers should have done, according to the messages, and what they have done.

    A statement over all aircraft messages computes the expected figures; the actual ones are in
    the tables and messages that the consumers write.

    Attributes:
        airports: figures by airport code.
        aircraft: figures by tail number.
    """

    airports: _Comparison
    aircraft: _Comparison

    @classmethod
    def read(cls, session: Session) -> Self:
        """Read the current state."""
        return cls(
            _Comparison(
                _figures(session, _expected_movements()), _figures(session, _counted_movements())
            ),
            _Comparison(
                _figures(session, _expected_inspections()), _figures(session, _inspections())
            ),
        )

    def differing(self) -> list[str]:
        """Return the airport codes and tail numbers whose figures differ."""
        return self.airports.differing() + self.aircraft.differing()

    def totals(self) -> list[Total]:
        """Return the totals of the main figures."""
        return [
            self.airports.total("airport departures", 0),
            self.airports.total("airport arrivals", 1),
            self.airports.total("airport minutes late", 2),
            self.aircraft.total("inspections requested", 1),
            self.aircraft.total("inspections done", 2),
            self.aircraft.total("inspections confirmed", 3),
        ]


def _figures(session: Session, statement: Executable) -> _Figures:
    return {name: tuple(figures) for name, *figures in session.execute(statement)}


def _expected_movements() -> Executable:
    m = tables.messages.c
    is_departure = m.type == "Departed"
    code = case((is_departure, m.data["origin"].as_string()), else_=m.data["airport"].as_string())
    # An unknown delay counts as none: GREATEST ignores NULL.
    delay = func.greatest(m.data["delay"].as_integer(), 0)
    return (
        select(
            code,
            func.count().filter(is_departure),
            func.count().filter(~is_departure),
            func.sum(delay),
            func.max(delay),
        )
        .where(functions.category(m.stream_name) == "aircraft", m.type.in_(["Departed", "Arrived"]))
        .group_by(code)
    )


def _counted_movements() -> Executable:
    return select(
        Airport.code,
        Airport.departures,
        Airport.arrivals,
        Airport.minutes_late,
        Airport.longest_delay,
    )


def _expected_inspections() -> Executable:
    m = tables.messages.c
    arrivals = func.count()
    # Each was requested, done and confirmed, and none is due any more.
    inspections = arrivals // ARRIVALS_BETWEEN_INSPECTIONS
    return (
        select(functions.id(m.stream_name), arrivals, *3 * [inspections], literal(0))
        .where(functions.category(m.stream_name) == "aircraft", m.type == "Arrived")
        .group_by(functions.id(m.stream_name))
    )


def _inspections() -> Executable:
    m = tables.messages.c
    correlation = functions.category(m.metadata["correlationStreamName"].as_string())
    category = functions.category(m.stream_name)
    caused = (
        select(
            functions.id(m.stream_name).label("tail_number"),
            func.count().filter(m.type == "Inspect").label("requested"),
            func.count().filter(m.type == "Inspected").label("done"),
        )
        .where(category.in_(["maintenance:command", "maintenance"]), correlation == "fleet")
        .group_by(functions.id(m.stream_name))
        .subquery()
    )
    return select(
        Maintenance.tail_number,
        Maintenance.arrivals,
        func.coalesce(caused.c.requested, 0),
        func.coalesce(caused.c.done, 0),
        Maintenance.done,
        Maintenance.due,
    ).outerjoin(caused, caused.c.tail_number == Maintenance.tail_number)
