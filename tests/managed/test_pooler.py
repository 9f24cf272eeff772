"""What works through a transaction pooler, and what docs/managed.md says does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL, Engine, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import Consumer, Message, MessageStore, migrations
from mdb_sqla.wake_up.listener import subscribe
from tests.managed.conftest import PSYCOPG
from tests.side_by_side.message_db import conninfo

PATIENCE = 10.0  # seconds


@pytest.fixture
def engine(pooled: URL) -> Iterator[Engine]:
    """An engine on a store, through the pooler."""
    engine = create_engine(pooled, **PSYCOPG)
    migrations.upgrade(engine)
    yield engine
    engine.dispose()


def write(engine: Engine, stream_name: str = "order-1") -> None:
    with Session(engine) as session:
        MessageStore(session).write(stream_name, Message("Placed"))
        session.commit()


@contextmanager
def client(pooled: URL, **options: Any) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(conninfo(pooled), autocommit=True, **options) as connection:
        yield connection


def test_nothing_is_left_on_the_servers_connection(engine: Engine, pooled: URL) -> None:
    with client(pooled, prepare_threshold=None) as before:
        settings = "SELECT name, setting FROM pg_settings WHERE name !~ '^message_store|^mdb_sqla'"
        first = before.execute(settings).fetchall()
        for _ in range(10):
            write(engine)

        assert before.execute(settings).fetchall() == first
        assert before.execute("SELECT FROM pg_prepared_statements").rowcount == 0
        floors = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        assert before.execute(floors).rowcount == 0


def test_who_listens_directly_is_woken(engine: Engine, direct: URL) -> None:
    woken = Event()
    listener = create_engine(direct, poolclass=NullPool)
    with listener.connect():
        pass  # Initializes its dialect.
    with subscribe(listener, ["order"], woken.set):
        assert woken.wait(PATIENCE)  # It listens.
        woken.clear()
        write(engine)

        assert woken.wait(PATIENCE)


def test_who_listens_through_the_pooler_hears_nothing(pooled: URL, direct: URL) -> None:
    with client(pooled) as listener, client(direct) as writer:
        listener.execute("LISTEN message_store")
        writer.execute("NOTIFY message_store, 'order'")

        assert list(listener.notifies(timeout=0.3)) == []
        listener.execute("UNLISTEN *")


def test_consumers_poll(engine: Engine, pooled: URL) -> None:
    quiet = create_engine(pooled, execution_options={"message_store_wake_up": False}, **PSYCOPG)
    handled = Event()
    billing = Consumer("billing", "order", poll_interval=(0.01, 0.05))
    billing.on("Placed")(lambda _message, _unit: handled.set())
    thread = Thread(target=billing.run, args=[sessionmaker(quiet)])
    thread.start()
    try:
        write(engine)
        assert handled.wait(PATIENCE)
    finally:
        billing.stop()
        thread.join(PATIENCE)
        quiet.dispose()


def test_what_psycopg_prepares_another_client_has_prepared(pooled: URL) -> None:
    with (
        client(pooled, prepare_threshold=0) as first,
        client(pooled, prepare_threshold=0) as second,
    ):
        first.execute("SELECT 1")
        with pytest.raises(psycopg.errors.DuplicatePreparedStatement):
            second.execute("SELECT 2")
        first.execute("DEALLOCATE ALL")


def test_options_are_refused(pooled: URL) -> None:
    engine = create_engine(
        pooled, poolclass=NullPool, connect_args={"options": "-c search_path=pg_catalog"}
    )

    with pytest.raises(OperationalError, match="unsupported startup parameter"):
        engine.connect()


def test_a_setting_without_local_is_the_next_clients_too(engine: Engine) -> None:
    condition = text("SELECT * FROM message_store.get_stream_messages('a-1', condition => 'true')")
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL message_store.sql_condition = 'on'"))
        connection.execute(condition)
    with engine.begin() as another, pytest.raises(DBAPIError, match="is not activated"):
        another.execute(condition)

    with engine.begin() as connection:
        connection.execute(text("SET message_store.sql_condition = 'on'"))
    with engine.begin() as another:
        another.execute(condition)
        another.execute(text("RESET message_store.sql_condition"))
