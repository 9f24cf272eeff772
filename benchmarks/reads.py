"""Reads of a category in batches of 1,000, into what the application works with (S7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from time import perf_counter
from uuid import uuid4

import orjson
from sqlalchemy import URL, create_engine

from benchmarks import packages
from benchmarks.client import connect
from benchmarks.comparison import OURS, Bar, Comparison
from benchmarks.content import fill
from benchmarks.server import Server
from benchmarks.size import Size
from mdb_sqla import MessageStore

__all__ = ["category_reads"]

_BATCH = 1_000
_CATEGORIES = 10

Read = Callable[[int], Sequence[object]]
"""Reads a batch from a global position on."""


@contextmanager
def category_reads(server: Server, size: Size) -> Iterator[Comparison]:
    with ExitStack() as stack:
        ours = _filled(stack.enter_context(server.ours()), size)
        original = _filled(stack.enter_context(server.original()), size)
        readers = {
            OURS: _store(stack, ours),
            "psycopg": _psycopg(stack, ours),
            packages.MESSAGE_DB_PY: _message_db_py(stack, original),
            packages.EVENTSOURCING: _eventsourcing(
                stack, stack.enter_context(server.eventsourcing()), size
            ),
        }
        yield Comparison(
            "category read, decoded",
            "messages/s",
            {name: _side(read, size) for name, read in readers.items()},
            [
                Bar("S7", "psycopg", 0.85),
                Bar("", packages.MESSAGE_DB_PY, 1),
                Bar("", packages.EVENTSOURCING, 1),
            ],
        )


def _filled(url: URL, size: Size) -> URL:
    with connect(url) as connection:
        fill(connection, size.read, _CATEGORIES)
    return url


def _side(read: Read, size: Size) -> Callable[[], float]:
    # As far as each leaves a whole batch of the category.
    last = size.read - _BATCH * _CATEGORIES
    positions = [1 + number * last // size.reads for number in range(size.reads)]

    def side() -> float:
        begin = perf_counter()
        number = sum(len(read(position)) for position in positions)
        seconds = perf_counter() - begin
        if number != _BATCH * len(positions):
            raise AssertionError(f"{number} messages were read")
        return number / seconds

    return side


def _store(stack: ExitStack, url: URL) -> Read:
    engine = create_engine(url, json_deserializer=orjson.loads)
    stack.callback(engine.dispose)

    connection = stack.enter_context(engine.connect())
    store = MessageStore(connection)

    def read(position: int) -> Sequence[object]:
        messages = store.read_category("category0", position, _BATCH)
        connection.rollback()
        return messages

    return read


def _psycopg(stack: ExitStack, url: URL) -> Read:
    connection = stack.enter_context(connect(url, autocommit=False))

    def read(position: int) -> Sequence[object]:
        rows = connection.execute(
            "SELECT * FROM message_store.get_category_messages(%s, %s, %s)",
            ("category0", position, _BATCH),
        ).fetchall()
        connection.rollback()
        return [(*row[:5], orjson.loads(row[5]), orjson.loads(row[6]), row[7]) for row in rows]

    return read


def _message_db_py(stack: ExitStack, url: URL) -> Read:
    client = stack.enter_context(packages.message_db_client(url))
    return lambda position: client.read_category("category0", position, _BATCH)


def _eventsourcing(stack: ExitStack, url: URL, size: Size) -> Read:
    """It has no categories: the notifications of all events, which is the easier thing."""
    recorder = stack.enter_context(packages.event_recorder(url))
    for _ in range(size.read // _BATCH):
        recorder.insert_events(packages.stored_events(uuid4(), _BATCH))

    def read(position: int) -> Sequence[object]:
        return [
            (event, orjson.loads(event.state))
            for event in recorder.select_notifications(position, _BATCH)
        ]

    return read
