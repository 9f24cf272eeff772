"""Clients that go on while their store is adopted notice nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL, NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from mdb_sqla import migrations
from tests.migrations.conftest import connected, contents, engine_of

Client = Callable[[psycopg.Connection[tuple[Any, ...]]], None]


class Worker(Thread):
    """A client that does one thing again and again, in a session of its own."""

    def __init__(self, database: URL, stop: Event, work: Client) -> None:
        super().__init__()
        self._database = database
        self._stop_asked = stop
        self._work = work
        self.done = 0
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            with connected(self._database, role="message_store") as connection:
                while not self._stop_asked.is_set():
                    self._work(connection)
                    self.done += 1
        except Exception as error:
            self.error = error


@contextmanager
def working(database: URL, *work: Client) -> Iterator[list[Worker]]:
    """Clients that work before, during and after the block."""
    stop = Event()
    workers = [Worker(database, stop, one) for one in work]
    for worker in workers:
        worker.start()
    try:
        _wait_for_more(workers)
        yield workers
        _wait_for_more(workers)
    finally:
        stop.set()
        for worker in workers:
            worker.join()
    assert [worker.error for worker in workers if worker.error] == []


def _wait_for_more(workers: list[Worker], more: int = 10) -> None:
    targets = [worker.done + more for worker in workers]
    deadline = time.monotonic() + 20
    while any(
        worker.done < target and worker.is_alive()
        for worker, target in zip(workers, targets, strict=True)
    ):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def writer(stream_name: str) -> Client:
    def write(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        with connection.transaction():
            for _ in range(2):
                connection.execute(
                    "SELECT write_message(gen_random_uuid()::varchar, %s, 'Written', '{}')",
                    [stream_name],
                )

    return write


def read_all(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    for call in (
        "get_last_stream_message('account-1')",
        "get_stream_messages('account-1')",
        "get_category_messages('account')",
    ):
        assert connection.execute(f"SELECT * FROM {call}".encode()).fetchall()


def test_no_write_is_lost_and_none_fails(original: URL) -> None:
    before = contents(original)
    with working(
        original, writer("busy-1"), writer("busy-1"), writer("busy-2"), read_all
    ) as workers:
        migrations.upgrade(engine_of(original))

    after = contents(original)
    written = [row for row in after[:-1] if row[6] == "Written"]
    assert after[: len(before) - 1] == before[:-1]
    assert len(written) == sum(2 * worker.done for worker in workers[:-1])
    for stream_name in ("busy-1", "busy-2"):
        positions = sorted(row[3] for row in written if row[5] == stream_name)
        assert positions == list(range(len(positions)))


def test_no_report_fails(original_1_3: URL) -> None:
    # A view is locked before the table it reads: whoever locks them the other way round deadlocks.
    def report(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        assert connection.execute("SELECT * FROM type_summary").fetchall()

    with working(original_1_3, report, report):
        migrations.upgrade(engine_of(original_1_3))


INDEX = (
    "CREATE INDEX CONCURRENTLY messages_tags ON message_store.messages "
    "USING gin ((metadata -> 'tags') jsonb_path_ops) WITH (fastupdate = off) "
    "WHERE metadata ? 'tags'"
)
"""As the documentation recommends it for large stores."""


def test_an_open_transaction_does_not_hold_it_up(original: URL) -> None:
    engine = create_engine(
        original, poolclass=NullPool, connect_args={"options": "-c lock_timeout=1000"}
    )
    with connected(original) as administrator:
        administrator.execute(INDEX)
    with connected(original, role="message_store") as client:
        with client.transaction():
            writer("account-1")(client)
            client.execute("SELECT * FROM type_summary").fetchall()
            migrations.upgrade(engine)
            writer("account-1")(client)

        last = client.execute("SELECT position FROM get_last_stream_message('account-1')")
        assert last.fetchone() == (2 + 4,)


def test_without_the_index_of_tags_it_waits_for_an_open_transaction(original: URL) -> None:
    engine = create_engine(
        original, poolclass=NullPool, connect_args={"options": "-c lock_timeout=100"}
    )
    with connected(original, role="message_store") as client:
        with client.transaction():
            writer("account-1")(client)
            with pytest.raises(DBAPIError, match="lock timeout"):
                migrations.upgrade(engine)
        writer("account-1")(client)
    migrations.upgrade(engine)
