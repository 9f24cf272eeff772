"""Filling the table of a projection from the messages of the flights example."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from sqlalchemy import Column, Engine, Integer, MetaData, Table, Text, create_engine

from benchmarks.comparison import OURS, Bar, Comparison
from benchmarks.server import Server
from benchmarks.size import Size
from mdb_sqla import Message, MessageStore, MessageTypes, StoredMessage
from mdb_sqla.projections import Projection, drop, rebuild

__all__ = ["aircraft", "projection_rebuild"]

_TARGET = 20_000  # messages a second
_WORKERS = 2

_table = Table(
    "aircraft",
    MetaData(),
    Column("tail_number", Text, primary_key=True),
    Column("airport", Text),
    Column("departures", Integer, nullable=False),
    Column("arrivals", Integer, nullable=False),
    Column("minutes_late", Integer, nullable=False),
)


@dataclass
class Aircraft:
    tail_number: str
    airport: str | None = None
    departures: int = 0
    arrivals: int = 0
    minutes_late: int = 0


@dataclass(frozen=True)
class Departed:
    origin: str
    destination: str
    scheduled: str
    delay: int


@dataclass(frozen=True)
class Arrived:
    airport: str
    clock: str
    delay: int | None


_types = MessageTypes(Departed, Arrived)


def _aircraft() -> Projection[Aircraft]:
    projection = Projection("aircraft", "aircraft", row=Aircraft, table=_table, types=_types)

    @projection.on(Departed)
    def departed(row: Aircraft | None, event: Departed, message: StoredMessage) -> Aircraft:
        row = row or Aircraft(message.stream_name.partition("-")[2])
        row.departures += 1
        row.airport = None
        return row

    @projection.on(Arrived)
    def arrived(row: Aircraft | None, event: Arrived, message: StoredMessage) -> Aircraft:
        row = row or Aircraft(message.stream_name.partition("-")[2])
        row.arrivals += 1
        row.airport = event.airport
        row.minutes_late += max(event.delay or 0, 0)
        return row

    return projection


aircraft = _aircraft()
"""For the processes of the workers, which import it."""


def _messages(flights: int | None) -> Iterator[tuple[str, Message]]:
    sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "flights"))
    from flights.data import read_flights
    from flights.events import message_for, stream_for, what_happened

    for flight in islice(read_flights(None), flights):
        for event in what_happened(flight):
            yield stream_for(flight), message_for(event, flight)


@contextmanager
def _filled(server: Server, flights: int) -> Iterator[Engine]:
    with server.ours() as url:
        engine = create_engine(url)
        _table.create(engine)
        with engine.begin() as connection:
            MessageStore(connection).load(_messages(flights))
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("ANALYZE message_store.messages")
        yield engine
        engine.dispose()


def _rebuild(engine: Engine) -> float:
    where = f"{__name__}:aircraft"
    rebuilt = rebuild(engine, aircraft, workers=_WORKERS, where=where)
    drop(engine, aircraft.name, aircraft.version)
    return rebuilt.messages / rebuilt.seconds


@contextmanager
def projection_rebuild(server: Server, size: Size) -> Iterator[Comparison]:
    with _filled(server, size.read) as engine:
        yield Comparison(
            f"rebuild of a projection, {_WORKERS} workers",
            "messages/s",
            {OURS: lambda: _rebuild(engine), "20,000/s": lambda: float(_TARGET)},
            [Bar("", "20,000/s", 1)],
        )
