"""An application under load: writers, consumers, a relay and a reader that follows."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import URL, create_engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import Consumer, Group, Message, MessageStore, StoredMessage, UnitOfWork
from mdb_sqla.database.sqlstates import is_transient
from mdb_sqla.relay import Relay
from mdb_sqla.transfer.message_tail import Following, ReadError
from mdb_sqla.transfer.raw_reads import RawReader
from tests.relay.receiving import FromNats
from tests.waiting import PATIENCE

WRITERS = 3
STREAMS = 5
_PACE = 0.01  # seconds between two transactions of a writer, so that consumers keep up
_PAUSE = 0.05  # seconds before a transaction is repeated

TABLES = (
    "CREATE TABLE orders (id uuid PRIMARY KEY)",
    "CREATE TABLE effects (consumer text, message uuid, global_position bigint)",
)


class Load:
    """Everything that runs, until the block of `running` is left.

    Attributes:
        category: the category of the messages.
        acknowledged: the ids of messages whose COMMIT was confirmed to their writer.
        handled: when each consumer has handled a message last.
        followed: the ids that the reader has been given.
        troubles: what the reader has reported.
    """

    def __init__(self, category: str) -> None:
        self.category = category
        self.acknowledged: list[UUID] = []
        self.handled = {"shipping": 0.0, "rare": 0.0}
        self.followed: set[UUID] = set()
        self.troubles: list[ReadError] = []
        self._is_writing = threading.Event()
        self._is_writing.set()
        self._threads: list[Future[None]] = []
        self._writers: list[Future[None]] = []

    @contextmanager
    def running(self, url: URL, async_url: URL, receiving: FromNats) -> Iterator[None]:
        """Run writers, two members of a group, a consumer of few messages, a relay and a reader."""
        engine = create_engine(url, pool_size=20)
        consumers = [
            self._consumer("shipping", "T", "R", group=Group(slots=4, lease=2)),
            self._consumer("shipping", "T", "R", group=Group(slots=4, lease=2)),
            self._consumer("rare", "R"),
        ]
        relay = Relay("relay", self.category, to=receiving.target())
        following = Following(engine, RawReader(self.category), self.troubles.append)
        work: list[Callable[[], None]] = [
            *(partial(self._write, sessionmaker(engine), number) for number in range(WRITERS)),
            *(partial(each.run, sessionmaker(engine)) for each in consumers),
            partial(self._follow, following),
            lambda: asyncio.run(_publish(relay, async_url)),
        ]
        with ThreadPoolExecutor(len(work)) as threads:
            self._threads = [threads.submit(each) for each in work]
            self._writers = self._threads[:WRITERS]
            try:
                yield
            finally:
                self._is_writing.clear()
                following.end()
                # Who has not begun can't be stopped yet.
                while wait(self._threads, timeout=0.1).not_done:
                    for each in (*consumers, relay):
                        each.stop()
        engine.dispose()
        self.check()

    def check(self) -> None:
        """Raise the error of what has failed."""
        for each in self._threads:
            if each.done():
                each.result()

    def stop_writers(self) -> None:
        """Return when nothing is written any more."""
        self._is_writing.clear()
        assert not wait(self._writers, timeout=PATIENCE).not_done

    def _write(self, factory: sessionmaker[Session], number: int) -> None:
        count = 0
        while self._is_writing.is_set():
            count += 1
            stream_name = f"{self.category}-{(number + count) % STREAMS}"
            message = Message("R" if count % 10 == 0 else "T", {"count": count})
            self._write_until_known(factory, stream_name, message)
            time.sleep(_PACE)

    def _write_until_known(
        self, factory: sessionmaker[Session], stream_name: str, message: Message
    ) -> None:
        """Repeat a transaction, with the same row and message, until it is known to be committed.

        If an attempt was committed and its confirmation was lost, the next one finds both.
        """
        while self._is_writing.is_set():
            try:
                with factory() as session:
                    with suppress(IntegrityError), session.begin_nested():
                        session.execute(text("INSERT INTO orders VALUES (:id)"), {"id": message.id})
                    MessageStore(session).write(stream_name, message)
                    session.commit()
            except DBAPIError as error:
                if not is_transient(error):
                    raise
                time.sleep(_PAUSE)
            else:
                self.acknowledged.append(message.id)
                return

    def _consumer(self, name: str, *types: str, **options: Any) -> Consumer:
        consumer = Consumer(name, self.category, **options)

        @consumer.on(*types)
        def handle(message: StoredMessage, unit: UnitOfWork) -> None:
            unit.session.execute(
                text("INSERT INTO effects VALUES (:consumer, :id, :position)"),
                {"consumer": name, "id": message.id, "position": message.global_position},
            )
            unit.write(f"{name}{message.stream_name}", Message("Done"))
            self.handled[name] = time.monotonic()

        return consumer

    def _follow(self, following: Following) -> None:
        for batch in following:
            self.followed.update(message.id for message in batch)


async def _publish(relay: Relay, url: URL) -> None:
    engine = create_async_engine(url)
    await relay.run_async(async_sessionmaker(engine))
    await engine.dispose()
