"""Recording flights: one transaction for each, over the application's tables and its messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Event as Signal

from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from flights.data import Flight
from flights.events import message_for, stream_for, what_happened
from flights.models import new_row, rows, stored_row
from mdb_sqla import NO_STREAM, UnitOfWork

__all__ = ["load", "record", "remaining"]


def record(unit: UnitOfWork, flight: Flight, expected_version: int) -> None:
    """Record a flight in the row and in the stream of its aircraft: in both, or in neither.

    The expected version is the version of the stream after all earlier flights. If the flight is
    recorded already, the stream has moved on, and the transaction is rejected.
    """
    stream_name = stream_for(flight)
    events = what_happened(flight)
    row = stored_row(unit.session, stream_name) or new_row(stream_name)
    for event in events:
        row.apply(event)
    unit.session.add(row)
    unit.write(
        stream_name,
        [message_for(event, flight) for event in events],
        expected_version=expected_version,
    )
    unit.commit()


def remaining(session: Session, flights: Iterable[Flight]) -> Iterator[tuple[Flight, int]]:
    """Return the flights that are not recorded yet, with their expected versions.

    The flights must have the same order in every run.
    """
    recorded = {stream_name: row.version for stream_name, row in rows(session).items()}
    versions: dict[str, int] = {}
    for flight in flights:
        stream_name = stream_for(flight)
        version = versions.get(stream_name, NO_STREAM)
        versions[stream_name] = version + len(what_happened(flight))
        if version >= recorded.get(stream_name, NO_STREAM):
            yield flight, version


def load(
    engine: Engine,
    flights: Iterable[tuple[Flight, int]],
    writers: int,
    recorded: Callable[[], object],
) -> None:
    """Record flights with concurrent writers; calls `recorded` after each flight.

    The flights of an aircraft stay in order, because one writer records all of them. After an error
    or an interrupt, all writers finish their current flight and stop.
    """
    shares: list[list[tuple[Flight, int]]] = [[] for _ in range(writers)]
    for flight, version in flights:
        shares[hash(stream_for(flight)) % writers].append((flight, version))
    sessions = sessionmaker(engine)
    stop = Signal()

    def write(share: list[tuple[Flight, int]]) -> None:
        for flight, version in share:
            if stop.is_set():
                return
            with UnitOfWork(sessions) as unit:
                record(unit, flight, version)
            recorded()

    with ThreadPoolExecutor(writers) as pool:
        try:
            for writer in as_completed([pool.submit(write, share) for share in shares]):
                writer.result()
        finally:
            stop.set()
