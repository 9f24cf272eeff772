"""One message after another, each in a transaction of its own, and 16 who do so (S10a)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from time import perf_counter
from uuid import uuid4

import orjson
from sqlalchemy import URL, create_engine
from sqlalchemy.orm import Session

from benchmarks import packages
from benchmarks.client import connect
from benchmarks.comparison import OURS, Bar, Comparison
from benchmarks.content import DATA, METADATA, TYPE
from benchmarks.server import Server
from benchmarks.size import Size
from benchmarks.writers import Crew, Writer
from mdb_sqla import Message, MessageStore

__all__ = ["writers_of_packages", "writes_over_connection", "writes_over_session"]

Write = Callable[[], object]


@dataclass(frozen=True)
class StoreOverConnection:
    """Our store over a connection that is kept."""

    url: URL

    @contextmanager
    def opened(self, number: int) -> Iterator[Write]:
        engine = create_engine(self.url, json_serializer=orjson.dumps)
        with engine.connect() as connection:
            store = MessageStore(connection)

            def write() -> None:
                store.write(f"order-{uuid4()}", Message(TYPE, DATA, METADATA))
                connection.commit()

            yield write
        engine.dispose()


@dataclass(frozen=True)
class StoreOverSession:
    """Our store over a session of its own for each transaction."""

    url: URL

    @contextmanager
    def opened(self, number: int) -> Iterator[Write]:
        engine = create_engine(self.url, json_serializer=orjson.dumps)

        def write() -> None:
            with Session(engine) as session:
                message = Message(TYPE, DATA, METADATA)
                MessageStore(session).write(f"order-{uuid4()}", message)
                session.commit()

        yield write
        engine.dispose()


@dataclass(frozen=True)
class Psycopg:
    """psycopg, calling the function that our store calls."""

    url: URL

    @contextmanager
    def opened(self, number: int) -> Iterator[Write]:
        with connect(self.url, autocommit=False) as connection:

            def write() -> None:
                entry = {
                    "id": str(Message(TYPE).id),
                    "stream_name": f"order-{uuid4()}",
                    "type": TYPE,
                    "data": DATA,
                    "metadata": METADATA,
                }
                connection.execute(
                    "SELECT * FROM message_store.write_messages(%s::text::jsonb)",
                    (orjson.dumps([entry]).decode(),),
                ).fetchall()
                connection.commit()

            yield write


@dataclass(frozen=True)
class MessageDBPy:
    """message-db-py, on the original."""

    url: URL

    @contextmanager
    def opened(self, number: int) -> Iterator[Write]:
        with packages.message_db_client(self.url) as client:
            yield lambda: client.write(f"order-{uuid4()}", TYPE, DATA, METADATA)


@dataclass(frozen=True)
class Eventsourcing:
    """The recorder of pyeventsourcing."""

    url: URL

    @contextmanager
    def opened(self, number: int) -> Iterator[Write]:
        with packages.event_recorder(self.url) as recorder:
            yield lambda: recorder.insert_events(packages.stored_events(uuid4(), 1))


@contextmanager
def writes_over_connection(server: Server, size: Size) -> Iterator[Comparison]:
    with ExitStack() as stack:
        writers: dict[str, Writer] = {
            OURS: StoreOverConnection(stack.enter_context(server.ours())),
            "psycopg": Psycopg(stack.enter_context(server.ours())),
        }
        yield Comparison(
            "one write, over a connection",
            "messages/s",
            {name: _side(stack, writer, size) for name, writer in writers.items()},
            [Bar("S10a", "psycopg", 0.85)],
        )


@contextmanager
def writes_over_session(server: Server, size: Size) -> Iterator[Comparison]:
    with ExitStack() as stack:
        writers: dict[str, Writer] = {
            OURS: StoreOverSession(stack.enter_context(server.ours())),
            "psycopg": Psycopg(stack.enter_context(server.ours())),
            packages.MESSAGE_DB_PY: MessageDBPy(stack.enter_context(server.original())),
            packages.EVENTSOURCING: Eventsourcing(stack.enter_context(server.eventsourcing())),
        }
        yield Comparison(
            "one write, in a session",
            "messages/s",
            {name: _side(stack, writer, size) for name, writer in writers.items()},
            [
                Bar("S10a", "psycopg", 0.75),
                Bar("S10a", packages.MESSAGE_DB_PY, 0.8),
                Bar("", packages.EVENTSOURCING, 1),
            ],
        )


def _side(stack: ExitStack, writer: Writer, size: Size) -> Callable[[], float]:
    write = stack.enter_context(writer.opened(0))

    def side() -> float:
        begin = perf_counter()
        for _ in range(size.writes):
            write()
        return size.writes / (perf_counter() - begin)

    return side


@contextmanager
def writers_of_packages(server: Server, size: Size) -> Iterator[Comparison]:
    number = 16
    with ExitStack() as stack:
        crew = stack.enter_context(Crew.hired())
        writers: dict[str, Writer] = {
            OURS: StoreOverSession(stack.enter_context(server.ours())),
            packages.MESSAGE_DB_PY: MessageDBPy(stack.enter_context(server.original())),
            packages.EVENTSOURCING: Eventsourcing(stack.enter_context(server.eventsourcing())),
        }

        def side(writer: Writer) -> Callable[[], float]:
            return lambda: crew.rate(writer, number, size.seconds)

        yield Comparison(
            f"{number} writers, by the packages",
            "messages/s",
            {name: side(writer) for name, writer in writers.items()},
            [Bar("", packages.MESSAGE_DB_PY, 1), Bar("", packages.EVENTSOURCING, 1)],
        )
