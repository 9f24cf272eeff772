"""What is told of messages: once they are committed, and no more often than need be."""

from __future__ import annotations

import gc
import time
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import URL, create_engine
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import (
    NO_STREAM,
    MessageStore,
    UnitOfWork,
    expect_on_commit,
    migrations,
    write_on_commit,
)
from mdb_sqla.entities import EntityStore
from mdb_sqla.store import writes
from tests.entities.accounts import Account, Deposited, types
from tests.wake_up.conftest import Ear, listening, message


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


def test_a_session_with_an_entity_tells_without_a_garbage_collection(
    clean_database: URL, ear: Ear
) -> None:
    engine = create_engine(clean_database)
    accounts = EntityStore("account", Account, types=types)
    gc.disable()
    try:
        with UnitOfWork(sessionmaker(engine)) as unit:
            accounts.get(unit, 1).write(Deposited(Decimal(10)))
            unit.commit()

        assert ear.next() == ["account"]
    finally:
        gc.enable()
    engine.dispose()


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
