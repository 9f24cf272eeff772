"""Consumers that read from standbys, and what each server has been asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, NullPool, create_engine, event, text
from sqlalchemy.orm import sessionmaker

from mdb_sqla import Consumer, Message, MessageStore, Standbys
from tests.standby.servers import Server

READ = "get_category_messages", "get_messages"


class Reads:
    """Counts the reads of messages on an engine, and calls something before a statement.

    Attributes:
        number: the number of reads.
        asked: how often a standby was asked how far it is.
    """

    def __init__(self, engine: Engine) -> None:
        self.number = self.asked = 0
        self._before: dict[str, Callable[[], object]] = {}

        @event.listens_for(engine, "before_cursor_execute")
        def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
            self.asked += "pg_last_wal_replay_lsn" in statement
            self.number += any(name in statement for name in READ)
            for name in [name for name in self._before if name in statement]:
                self._before.pop(name)()

    def before(self, call: Callable[[], object], name: str = "get_category_messages") -> None:
        """Call something once, before the next statement that contains a name."""
        self._before[name] = call


class Reader:
    """Handles messages that are read from standbys, and notes their data in `handled`.

    Args:
        primary: the primary server, or the address of the server that is.
        standbys: the standbys.
        max_wait: as for `Standbys`.
        arguments: as for `Consumer`.
    """

    def __init__(
        self,
        primary: Any,
        *standbys: Server,
        max_wait: float = 20.0,
        categories: tuple[str, ...] = ("order",),
        **arguments: Any,
    ) -> None:
        self.engine = create_engine(primary.url, pool_pre_ping=True)
        self.on_primary = Reads(self.engine)
        engines = [create_engine(each.address.url, poolclass=NullPool) for each in standbys]
        self.on_standbys = [Reads(engine) for engine in engines]
        self.standbys = Standbys(*engines, max_wait=max_wait)
        self.handled: list[Any] = []
        arguments = {"poll_interval": (0.002, 0.05), **arguments}
        self.consumer = Consumer("billing", *categories, read_from=self.standbys, **arguments)

        @self.consumer.on("T")
        def handle(message: Any, unit: Any) -> None:
            unit.session.execute(text("SELECT 1"))
            self.handled.append(message.data)

    def catch_up(self) -> list[Any]:
        """Handle what there is, and return the data of all messages handled so far."""
        try:
            self.consumer.catch_up(sessionmaker(self.engine))
        finally:
            self.engine.dispose()
        return self.handled


def write(engine: Engine, stream_name: str, *numbers: int, synchronous: bool = True) -> None:
    with engine.begin() as connection:
        if not synchronous:
            connection.execute(text("SET LOCAL synchronous_commit = off"))
        MessageStore(connection).write(stream_name, [Message("T", number) for number in numbers])


@contextmanager
def open_writer(engine: Engine, stream_name: str, *numbers: int) -> Iterator[Any]:
    """A transaction that has written messages; it is rolled back unless the block commits it."""
    with engine.connect() as connection:
        MessageStore(connection).write(stream_name, [Message("T", number) for number in numbers])
        yield connection
