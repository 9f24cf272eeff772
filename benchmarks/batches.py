"""Batches of 1,000 messages to one stream, each a transaction (S5, S6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from time import perf_counter
from uuid import uuid4

import orjson
from psycopg.types.json import Jsonb, set_json_dumps
from sqlalchemy import URL, create_engine
from sqlalchemy.orm import Session

from benchmarks import packages
from benchmarks.client import connect
from benchmarks.comparison import OURS, Bar, Comparison
from benchmarks.content import DATA, METADATA, TYPE
from benchmarks.server import Server
from benchmarks.size import Size
from mdb_sqla import Message, MessageStore

__all__ = ["batches"]

_BATCH = 1_000

Write = Callable[[str, Sequence[Message]], object]
"""Writes a batch to a stream, which does not exist yet, and commits."""


@contextmanager
def batches(server: Server, size: Size) -> Iterator[Comparison]:
    with ExitStack() as stack:
        limit = stack.enter_context(server.ours())
        writers = {
            OURS: _store(stack, stack.enter_context(server.ours())),
            "COPY": _copy(stack, limit),
            "original": _calls(stack, stack.enter_context(server.original())),
            packages.MESSAGE_DB_PY: _message_db_py(stack, stack.enter_context(server.original())),
            packages.EVENTSOURCING: _eventsourcing(
                stack, stack.enter_context(server.eventsourcing())
            ),
        }
        yield Comparison(
            "batches of 1,000",
            "messages/s",
            {name: _side(write, size.batches) for name, write in writers.items()},
            [
                Bar("S5", "COPY", 0.8),
                Bar("S6", "original", 10),
                Bar("", packages.MESSAGE_DB_PY, 1),
                Bar("", packages.EVENTSOURCING, 1),
            ],
        )


def _side(write: Write, number: int) -> Callable[[], float]:
    def side() -> float:
        work = [
            (f"order-{uuid4()}", [Message(TYPE, DATA, METADATA) for _ in range(_BATCH)])
            for _ in range(number)
        ]
        begin = perf_counter()
        for stream, messages in work:
            write(stream, messages)
        return number * _BATCH / (perf_counter() - begin)

    return side


def _store(stack: ExitStack, url: URL) -> Write:
    engine = create_engine(url, json_serializer=orjson.dumps)
    stack.callback(engine.dispose)

    def write(stream: str, messages: Sequence[Message]) -> None:
        with Session(engine) as session:
            MessageStore(session).write(stream, messages)
            session.commit()

    return write


def _copy(stack: ExitStack, url: URL) -> Write:
    """The limit: nothing but the rows, which know their positions."""
    connection = stack.enter_context(connect(url, autocommit=False))
    global_positions = count(1)

    def write(stream: str, messages: Sequence[Message]) -> None:
        with (
            connection.cursor() as cursor,
            cursor.copy(
                "COPY message_store.messages "
                "(global_position, stream_name, position, id, type, data, metadata) FROM STDIN"
            ) as copy,
        ):
            for position, message in enumerate(messages):
                data, metadata = orjson.dumps(message.data), orjson.dumps(message.metadata)
                copy.write_row(
                    (
                        next(global_positions),
                        stream,
                        position,
                        message.id,
                        message.type,
                        data.decode(),
                        metadata.decode(),
                    )
                )
        connection.commit()

    return write


def _calls(stack: ExitStack, url: URL) -> Write:
    """The original: a call for each message."""
    connection = stack.enter_context(connect(url, autocommit=False))
    set_json_dumps(orjson.dumps, connection)

    def write(stream: str, messages: Sequence[Message]) -> None:
        for message in messages:
            connection.execute(
                "SELECT write_message(%s, %s, %s, %s, %s)",
                (
                    str(message.id),
                    stream,
                    message.type,
                    Jsonb(message.data),
                    Jsonb(message.metadata),
                ),
            )
        connection.commit()

    return write


def _message_db_py(stack: ExitStack, url: URL) -> Write:
    client = stack.enter_context(packages.message_db_client(url))
    return lambda stream, messages: client.write_batch(
        stream, [(message.type, message.data, message.metadata) for message in messages]
    )


def _eventsourcing(stack: ExitStack, url: URL) -> Write:
    recorder = stack.enter_context(packages.event_recorder(url))
    return lambda _, messages: recorder.insert_events(
        packages.stored_events(messages[0].id, len(messages))
    )
