"""The notifier's thread and its connection: lost, refused, idle, and of an engine that is gone."""

from __future__ import annotations

import gc
import logging
import threading
import time
import weakref
from itertools import count
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL, NullPool, StaticPool, create_engine, event, text
from sqlalchemy.orm import Session

from mdb_sqla import MessageStore, write_on_commit
from mdb_sqla.wake_up import notifier
from tests.side_by_side.message_db import conninfo
from tests.waiting import PATIENCE, backends, collect_garbage, wait_until
from tests.wake_up.conftest import Ear, message


def wait_until_closed(database: URL) -> None:
    """Wait until no notifier's connection is open."""
    engine = create_engine(database, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        wait_until(lambda: backends(connection, "pg_notify") == [])
    engine.dispose()


def refuse_to_start(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


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

    wait_until_closed(clean_database)
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
    assert set(ear.next()) == {"a"}
    engine.dispose()


def test_a_server_that_takes_no_connections_is_told_of_once(
    clean_database: URL, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier, "_RETRY_INTERVAL", 0.01)
    engine = create_engine(clean_database)
    connecting = True

    @event.listens_for(engine, "do_connect")
    def refuse(*_: Any) -> None:
        if not connecting:
            raise OSError("refused")

    with engine.connect() as connection, caplog.at_level(logging.WARNING, "mdb_sqla.notifier"):
        connecting = False
        for _ in range(5):
            MessageStore(connection).write("a-1", message())
            connection.commit()
            time.sleep(0.05)
        wait_until(lambda: caplog.records)

    assert [record.message for record in caplog.records] == [
        "Notifications are failing; consumers fall back to polling"
    ]
    engine.dispose()


def test_the_applications_own_connection_is_left_alone(
    clean_database: URL, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the engine's creator returns one connection, whoever asks."""
    monkeypatch.setattr(notifier, "_RETRY_INTERVAL", 0.0)
    with psycopg.connect(conninfo(clean_database)) as only:
        engine = create_engine("postgresql+psycopg://", creator=lambda: only, poolclass=StaticPool)
        with Session(engine) as session:
            # What fails once is not logged yet.
            for _ in range(2):
                write_on_commit(session, "a-1", message())
                session.commit()
                session.execute(text("SET LOCAL application_name = 'in a transaction'"))
                wait_until(lambda: not notifier._notifiers[engine.pool]._queued)
            wait_until(lambda: caplog.records)
            # Not rolled back, and no statement is a transaction of its own.
            assert session.scalar(text("SHOW application_name")) == "in a transaction"
        engine.dispose()
        # The thread has ended with the pool.
        assert not only.autocommit
        logged = str(caplog.records[0].exc_info)

    assert "make it open a new connection on each call" in logged


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
    assert time.monotonic() - began < PATIENCE / 2
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


def test_a_message_written_while_the_thread_ends_is_told_of(
    clean_database: URL, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier, "_IDLE", 0.1)
    engine = create_engine(clean_database)
    closing, release = threading.Event(), threading.Event()

    # The connection of the application stays open: only the thread closes one.
    @event.listens_for(engine, "close")
    def wait(*_: Any) -> None:
        closing.set()
        release.wait(PATIENCE)

    with engine.connect() as connection:
        MessageStore(connection).write("a-1", message())
        connection.commit()
        assert ear.next() == ["a"]

        assert closing.wait(PATIENCE)
        MessageStore(connection).write("b-1", message())
        connection.commit()
        try:
            assert ear.next() == ["b"]
        finally:
            release.set()
    engine.dispose()


def test_a_write_is_not_disturbed_where_no_thread_can_be_started(
    clean_database: URL, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = create_engine(clean_database)
    monkeypatch.setattr(threading.Thread, "start", refuse_to_start)
    with engine.begin() as connection:
        assert MessageStore(connection).write("a-1", message()) == 0
    monkeypatch.undo()

    assert "can't start new thread" in caplog.text
    with engine.connect() as connection:
        assert MessageStore(connection).version("a-1") == 0
    engine.dispose()


def test_an_engine_is_let_go_where_no_thread_could_be_started(
    clean_database: URL, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = create_engine(clean_database, poolclass=NullPool)
    monkeypatch.setattr(threading.Thread, "start", refuse_to_start)
    # A log record would keep the traceback.
    with caplog.at_level(logging.ERROR, "mdb_sqla.notifier"), engine.begin() as connection:
        MessageStore(connection).write("a-1", message())
    monkeypatch.undo()
    dropped = weakref.ref(engine)

    del engine, connection

    wait_until(lambda: gc.collect() >= 0 and dropped() is None)


def test_a_transaction_open_while_its_engine_is_disposed_of_is_told_of(
    clean_database: URL, ear: Ear
) -> None:
    engine = create_engine(clean_database, poolclass=NullPool)
    with engine.connect() as connection:
        MessageStore(connection).write("a-1", message())
        engine.dispose()
        time.sleep(0.5)  # the thread has noticed it
        connection.commit()
    assert ear.next() == ["a"]

    wait_until_closed(clean_database)


def test_a_transaction_that_has_ended_holds_nothing(clean_database: URL, ear: Ear) -> None:
    engine = create_engine(clean_database, poolclass=NullPool)
    with engine.connect() as connection:
        transaction = connection.begin()
        MessageStore(connection).write("a-1", message())
        transaction.commit()
    assert ear.next() == ["a"]

    engine.dispose()

    wait_until_closed(clean_database)
    assert not transaction.is_active


def test_a_notifier_ends_while_messages_are_written(
    clean_database: URL, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although each of its rounds writes another message."""
    engine = create_engine(clean_database, isolation_level="AUTOCOMMIT")
    categories = (f"a{number}" for number in count())
    send = notifier._notify

    def write_and_send(*arguments: Any) -> None:
        with engine.connect() as connection:
            MessageStore(connection).write(f"{next(categories)}-1", message())
            if next(rounds) == 0:
                notifier._notifiers[engine.pool].close()
                MessageStore(connection).write(f"{next(categories)}-1", message())
        send(*arguments)

    rounds = count()
    monkeypatch.setattr(notifier, "_notify", write_and_send)
    with engine.connect() as connection:
        MessageStore(connection).write("b-1", message())
        closed = notifier._notifiers[engine.pool]
    closed.wait(time.monotonic() + PATIENCE)

    assert not closed._thread.is_alive()
    monkeypatch.undo()
    with engine.connect() as connection:
        MessageStore(connection).write("last-1", message())
    assert {"a0", "a1", "b"} < set(ear.until("last"))
    engine.dispose()
