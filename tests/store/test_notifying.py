"""What is told of messages: once they are committed, and no more often than need be."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL, NullPool, StaticPool, create_engine, event, text
from sqlalchemy.orm import Session

from mdb_sqla import NO_STREAM, Message, MessageStore, expect_on_commit, migrations, write_on_commit
from mdb_sqla.store import writes
from mdb_sqla.wake_up import notifier
from tests.side_by_side.message_db import conninfo
from tests.waiting import PATIENCE, backends, collect_garbage, wait_until


def message() -> Message:
    return Message("T")


class Ear:
    """Hears what is told on the channel of the store."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def next(self, number: int = 1) -> list[str]:
        """Return the next so many payloads, sorted."""
        heard = self._connection.notifies(timeout=PATIENCE, stop_after=number)
        payloads = [notification.payload for notification in heard]
        assert len(payloads) >= number
        return sorted(payloads)

    def until(self, last: str) -> list[str]:
        """Return what is heard up to a payload."""
        heard = []
        for notification in self._connection.notifies(timeout=PATIENCE):
            heard.append(notification.payload)
            if notification.payload == last:
                return heard
        raise AssertionError(f"{last} is not among {heard}")


@contextmanager
def listening(database: URL, channel: str = "message_store") -> Iterator[Ear]:
    with psycopg.connect(conninfo(database), autocommit=True) as connection:
        connection.execute(f"LISTEN {channel}".encode())
        yield Ear(connection)


@pytest.fixture
def ear(clean_database: URL) -> Iterator[Ear]:
    with listening(clean_database) as ear:
        yield ear


def test_a_session_tells_what_it_has_committed(flavour: Any, ear: Ear) -> None:
    with flavour.session() as session:
        flavour.run(flavour.store(session).write("direct-1", message()))
        write_on_commit(session, "held_back:x+y-1", [message(), message()])
        flavour.run(session.commit())

        assert ear.next(2) == ["direct", "held_back:x+y"]


def test_a_connection_tells_what_it_has_committed(flavour: Any, ear: Ear) -> None:
    with flavour.connection() as connection:
        store = flavour.store(connection)
        flavour.run(store.write("a-1", message()))
        flavour.run(store.write_messages([(f"{name}-1", message()) for name in "bbc"]))
        flavour.run(store.load([("d-1", message())]))
        flavour.run(connection.commit())

        assert ear.next(4) == ["a", "b", "c", "d"]


def test_nothing_is_told_before_the_commit(flavour: Any, ear: Ear) -> None:
    with flavour.connection() as open_, flavour.connection() as other:
        flavour.run(flavour.store(open_).write("open-1", message()))
        flavour.run(flavour.store(other).write("other-1", message()))
        flavour.run(other.commit())
        assert ear.next() == ["other"]

        flavour.run(open_.commit())
        assert ear.next() == ["open"]


def test_where_each_statement_is_a_transaction(flavour: Any, ear: Ear) -> None:
    with flavour.connection(isolation_level="AUTOCOMMIT") as connection:
        flavour.run(flavour.store(connection).write("a-1", message()))

        assert ear.next() == ["a"]


def test_a_session_in_a_transaction_of_others_tells_when_that_ends(
    clean_database: URL, ear: Ear
) -> None:
    engine = create_engine(clean_database)
    with engine.connect() as connection, engine.connect() as other:
        connection.begin()
        with Session(connection) as session:
            write_on_commit(session, "inner-1", message())
            session.commit()
        MessageStore(other).write("other-1", message())
        other.commit()
        assert ear.next() == ["other"]

        connection.commit()
        assert ear.next() == ["inner"]
    engine.dispose()


def test_many_commits_are_told_of_together(clean_database: URL, ear: Ear) -> None:
    engine = create_engine(clean_database)
    began = time.monotonic()
    for _ in range(300):
        with engine.begin() as connection:
            MessageStore(connection).write("busy-1", message())
    took = time.monotonic() - began
    with engine.begin() as connection:
        MessageStore(connection).write("last-1", message())

    heard = ear.until("last")

    assert 1 <= heard.count("busy") <= took / 0.01 + 2
    engine.dispose()


def test_many_categories_are_told_of_as_one(clean_database: URL, ear: Ear) -> None:
    engine = create_engine(clean_database)
    with engine.begin() as connection:
        MessageStore(connection).write_messages([(f"c{n}-1", message()) for n in range(101)])

    assert ear.next() == [""]
    engine.dispose()


def test_it_can_be_turned_off(clean_database: URL, ear: Ear) -> None:
    engine = create_engine(clean_database)
    silent = engine.execution_options(message_store_wake_up=False)
    for each, category in ((silent, "silent"), (engine, "loud")):
        with each.begin() as connection:
            MessageStore(connection).write(f"{category}-1", message())

    assert ear.next() == ["loud"]
    engine.dispose()


def test_another_schema_has_a_channel_of_its_own(
    empty_database: URL,
) -> None:
    engine = create_engine(empty_database).execution_options(
        schema_translate_map={"message_store": "Events"}
    )
    migrations.upgrade(engine, schema="Events")
    with listening(empty_database, '"Events"') as ear:
        with engine.begin() as connection:
            MessageStore(connection).write("a-1", message())

        assert ear.next() == ["a"]
    engine.dispose()


def test_nothing_holds_on_to_the_database_of_an_engine_that_is_disposed_of(
    flavour: Any, ear: Ear, clean_database: URL
) -> None:
    with flavour.session() as session:
        write_on_commit(session, "a-1", message())
        flavour.run(session.commit())
    flavour.run(flavour.engine.dispose())

    assert ear.next() == ["a"]
    other = create_engine(clean_database, isolation_level="AUTOCOMMIT")
    with other.connect() as connection:
        # Closed it is; the server takes a moment to end its process.
        wait_until(lambda: backends(connection, "^[^L]") == [], patience=1.0)
    other.dispose()


def test_nothing_holds_on_where_a_reference_to_the_pool_is_left(
    clean_database: URL, ear: Ear
) -> None:
    engine = create_engine(clean_database)
    left = engine.pool
    with engine.begin() as connection:
        MessageStore(connection).write("a-1", message())
    assert ear.next() == ["a"]

    engine.dispose()

    other = create_engine(clean_database, isolation_level="AUTOCOMMIT")
    with other.connect() as connection:
        wait_until(lambda: backends(connection, "pg_notify") == [])
    other.dispose()
    assert left is not engine.pool


def test_a_connection_that_is_lost_is_replaced(clean_database: URL, ear: Ear) -> None:
    engine = create_engine(clean_database)

    def write() -> None:
        with engine.begin() as connection:
            MessageStore(connection).write("a-1", message())

    write()
    assert ear.next() == ["a"]
    with engine.connect() as connection:
        (lost,) = backends(connection, "pg_notify")
        connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": lost})
    write()  # is not told of

    def told() -> bool:
        write()
        with engine.connect() as connection:
            return backends(connection, "pg_notify") not in ([], [lost])

    wait_until(told)
    assert ear.next() == ["a"]
    engine.dispose()


def test_a_server_that_takes_no_connections_is_told_of_once(
    clean_database: URL, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier, "_AFTER_FAILURE", 0.01)
    engine = create_engine(clean_database)
    connecting = True

    @event.listens_for(engine, "do_connect")
    def refuse(*_: Any) -> None:
        if not connecting:
            raise OSError("refused")

    with engine.connect() as connection, caplog.at_level(logging.WARNING, "mdb_sqla.notifying"):
        connecting = False
        for _ in range(5):
            MessageStore(connection).write("a-1", message())
            connection.commit()
            time.sleep(0.05)
        wait_until(lambda: caplog.records)

    assert [record.message for record in caplog.records] == [
        "Consumers can't be woken, and poll meanwhile"
    ]
    engine.dispose()


WRITES_AND_EXITS = """
import sys
from sqlalchemy import NullPool, create_engine
from mdb_sqla import Message, MessageStore

def write(name):
    with engine.begin() as connection:
        MessageStore(connection).write(name, Message("T"))

engine = create_engine(sys.argv[1], poolclass=NullPool)
"""

WRITES_IN_A_FORK = """
import os
write("before-1")
child = os.fork()
if not child:
    write("child-1")
    sys.exit()
_, status = os.waitpid(child, 0)
assert status == 0, status
write("parent-1")
"""


def run(program: str, database: URL) -> None:
    url = database.render_as_string(hide_password=False)
    subprocess.run([sys.executable, "-c", program, url], check=True, timeout=60)


def test_the_applications_own_connection_is_left_alone(
    clean_database: URL, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the engine's creator returns one connection, whoever asks."""
    monkeypatch.setattr(notifier, "_AFTER_FAILURE", 0.0)
    with psycopg.connect(conninfo(clean_database)) as only:
        engine = create_engine("postgresql+psycopg://", creator=lambda: only, poolclass=StaticPool)
        with Session(engine) as session:
            # What fails once is not logged yet.
            for _ in range(2):
                write_on_commit(session, "a-1", message())
                session.commit()
                session.execute(text("SET LOCAL application_name = 'in a transaction'"))
                wait_until(lambda: not notifier._notifiers[engine.pool]._waiting)
            wait_until(lambda: caplog.records)
            # Not rolled back, and no statement is a transaction of its own.
            assert session.scalar(text("SHOW application_name")) == "in a transaction"
        engine.dispose()
        # The thread has ended with the pool.
        assert not only.autocommit
        logged = str(caplog.records[0].exc_info)

    assert "have it connect each time that it is called" in logged


def test_a_process_that_ends_at_once_tells_before_it_does(clean_database: URL, ear: Ear) -> None:
    run(WRITES_AND_EXITS + 'write("short-1")', clean_database)

    assert ear.next() == ["short"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_process_and_its_fork_tell_each_their_own(clean_database: URL, ear: Ear) -> None:
    run(WRITES_AND_EXITS + WRITES_IN_A_FORK, clean_database)

    assert sorted(ear.until("parent")) == ["before", "child", "parent"]


def test_an_engine_that_is_only_dropped_is_let_go(
    clean_database: URL, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier, "_IDLE", 0.2)
    engine = create_engine(clean_database, poolclass=NullPool)
    with engine.begin() as connection:
        MessageStore(connection).write("a-1", message())
    assert ear.next() == ["a"]
    dropped = weakref.ref(engine)

    del engine, connection

    wait_until(lambda: gc.collect() >= 0 and dropped() is None)


def test_the_garbage_collector_does_not_wait_for_it(clean_database: URL) -> None:
    """Nothing else would be collected meanwhile, in any thread."""
    connecting, release = threading.Event(), threading.Event()
    is_first = iter([True])

    def creator() -> psycopg.Connection:
        if not next(is_first, False):
            connecting.set()
            release.wait(PATIENCE)
        return psycopg.connect(conninfo(clean_database))

    engine = create_engine("postgresql+psycopg://", creator=creator)
    with engine.begin() as connection:
        MessageStore(connection).write("order-1", message())
    assert connecting.wait(PATIENCE)
    pool = weakref.ref(engine.pool)

    began = time.monotonic()
    del connection
    engine.dispose()  # it has another pool from here on
    collect_garbage()

    assert pool() is None
    assert time.monotonic() - began < 1
    release.set()


def test_a_transaction_that_stays_open_for_long_is_told_of(
    clean_database: URL, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier, "_IDLE", 0.1)
    engine = create_engine(clean_database)
    with engine.connect() as connection:
        MessageStore(connection).write("a-1", message())
        time.sleep(0.5)  # longer than the thread is idle
        connection.commit()
        assert ear.next() == ["a"]

        time.sleep(0.5)
        MessageStore(connection).write("b-1", message())
        connection.commit()
        assert ear.next() == ["b"]
    engine.dispose()


def test_a_category_too_long_for_a_payload_stands_for_any(clean_database: URL, ear: Ear) -> None:
    engine = create_engine(clean_database)
    with engine.begin() as connection:
        MessageStore(connection).write(f"{'a' * 9000}-1", message())

    assert ear.next() == [""]
    engine.dispose()


def test_an_engine_whose_results_are_streamed(clean_database: URL, ear: Ear) -> None:
    engine = create_engine(clean_database, execution_options={"stream_results": True})
    with engine.begin() as connection:
        MessageStore(connection).write("a-1", message())

    assert ear.next() == ["a"]
    engine.dispose()


def test_a_write_is_not_disturbed_where_no_thread_can_be_started(
    clean_database: URL, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    engine = create_engine(clean_database)
    monkeypatch.setattr(threading.Thread, "start", start)
    with engine.begin() as connection:
        assert MessageStore(connection).write("a-1", message()) == 0
    monkeypatch.undo()

    assert "can't start new thread" in caplog.text
    with engine.connect() as connection:
        assert MessageStore(connection).version("a-1") == 0
    engine.dispose()


def test_nothing_is_told_where_a_version_is_only_expected(
    clean_database: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []
    monkeypatch.setattr(writes, "announce", lambda *arguments: told.append(arguments))
    engine = create_engine(clean_database)
    with Session(engine) as session:
        expect_on_commit(session, "a-1", NO_STREAM)
        session.commit()
    engine.dispose()

    assert told == []
