"""The optional trigger: what it refuses, what it lets through, and how it is turned on and off."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import URL, Engine, create_engine, text

from mdb_sqla import (
    InvalidArgument,
    Message,
    MessagesProtected,
    MessageStore,
    StoreBusy,
    StoreNotInstalled,
    admin,
    migrations,
    retention,
)
from mdb_sqla.database.error_translation import translated
from mdb_sqla.erasure import erase_stream
from mdb_sqla.migrations import store_history

CHANGES = pytest.mark.parametrize(
    "change",
    [
        "UPDATE message_store.messages SET data = '{}'",
        "UPDATE message_store.messages SET data = '{}' WHERE false",
        "DELETE FROM message_store.messages",
        "TRUNCATE message_store.messages",
    ],
)


@pytest.fixture
def protected(engine: Engine) -> Engine:
    """A store with three messages, which are protected."""
    with engine.begin() as connection:
        MessageStore(connection).write("order-1", [Message("T", each) for each in (1, 2, 3)])
    admin.set_protection(engine, True)
    return engine


def run(engine: Engine, *statements: str) -> None:
    with translated(), engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def number(engine: Engine) -> int:
    with engine.connect() as connection:
        return len(MessageStore(connection).read_messages())


def reported(engine: Engine) -> str:
    found = admin.verify(engine)
    assert found.differences == []
    (line,) = [line for line in found.checked if line.startswith("Protection")]
    return line.rpartition(": ")[2]


@CHANGES
def test_changes_are_refused(protected: Engine, change: str) -> None:
    with pytest.raises(MessagesProtected, match=f"^{change.split()[0]} of messages") as refused:
        run(protected, change)
    hint = "To change them nevertheless, turn the protection off: mdb protect off"
    assert refused.value.__notes__ == [hint]
    assert number(protected) == 3


@CHANGES
def test_they_are_not_refused_by_default(engine: Engine, change: str) -> None:
    assert not admin.is_protected(engine)
    assert reported(engine) == "off"
    run(engine, change)


def test_clear_is_refused(protected: Engine) -> None:
    with protected.begin() as connection, pytest.raises(MessagesProtected):
        admin.clear(connection, reset_consumers=True)
    assert number(protected) == 3


def test_the_stores_own_functions_work(protected: Engine) -> None:
    with protected.begin() as connection:
        MessageStore(connection).write("order-2", Message("T", {"a": 1}))
        erase_stream(connection, "order-2", reason="request 7")
        retention.set_policy(connection, "order", keep_age=timedelta(microseconds=1))
    (done,) = retention.run(protected)
    assert done.messages == 4
    assert number(protected) == 0


@CHANGES
def test_what_they_may_do_ends_with_them(protected: Engine, change: str) -> None:
    """In the transaction that has deleted or erased, or after one with that number."""
    for before in (
        "SELECT message_store.delete_messages('{1}')",
        "SELECT message_store.erase_stream('order-1', 'request 7')",
        "SELECT set_config('mdb_sqla.may_change', '3', true)",
        "SELECT set_config('mdb_sqla.may_change', '', true)",
    ):
        with pytest.raises(MessagesProtected):
            run(protected, before, change)
    assert number(protected) == 3


def test_a_deletion_that_fails_leaves_no_way_in(protected: Engine) -> None:
    with protected.begin() as connection:
        with pytest.raises(Exception, match="from its beginning"), connection.begin_nested():
            connection.execute(text("SELECT message_store.delete_messages('{2}')"))
        with pytest.raises(MessagesProtected), translated():
            connection.execute(text("DELETE FROM message_store.messages"))


def test_on_and_off_and_again(protected: Engine) -> None:
    for state in (True, True, False, False, True):
        admin.set_protection(protected, state)
        assert admin.is_protected(protected) is state
        assert reported(protected) == ("on" if state else "off")
    admin.set_protection(protected, False)
    run(protected, "DELETE FROM message_store.messages")


def test_a_disabled_trigger_protects_nothing(protected: Engine) -> None:
    run(protected, "ALTER TABLE message_store.messages DISABLE TRIGGER messages_protected")
    assert not admin.is_protected(protected)
    assert reported(protected) == "off"
    admin.set_protection(protected, True)
    with pytest.raises(MessagesProtected):
        run(protected, "DELETE FROM message_store.messages")


def test_it_waits_for_open_writers(engine: Engine) -> None:
    with engine.begin() as writer:
        MessageStore(writer).write("order-1", Message("T"))
        with pytest.raises(StoreBusy, match="The protection of messages was not changed"):
            admin.set_protection(engine, True, wait=0.05)
    assert not admin.is_protected(engine)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protected": "on"}, "protected must be True or False, got 'on'"),
        ({"protected": True, "wait": 0}, "wait must be a positive number of seconds"),
        ({"protected": True, "schema": ""}, "Invalid schema name"),
    ],
)
def test_arguments_that_are_refused(engine: Engine, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        admin.set_protection(engine, **options)
    assert not admin.is_protected(engine)


def test_without_a_store(engine: Engine) -> None:
    for call in (
        lambda: admin.is_protected(engine, schema="other"),
        lambda: admin.set_protection(engine, True, schema="other"),
    ):
        with pytest.raises(StoreNotInstalled):
            call()


def test_a_store_that_is_not_up_to_date(empty_database: URL) -> None:

    engine = create_engine(empty_database)
    with engine.begin() as connection:
        store_history.upgrade(connection, "message_store", version="0001")
    with pytest.raises(StoreNotInstalled, match="refuse_change"):
        admin.set_protection(engine, True)
    engine.dispose()


def test_in_another_schema(protected: Engine) -> None:
    migrations.upgrade(protected, schema="events")
    assert not admin.is_protected(protected, schema="events")
    admin.set_protection(protected, True, schema="events")
    with pytest.raises(MessagesProtected):
        run(protected, "DELETE FROM events.messages")


def test_a_downgrade_removes_it(protected: Engine) -> None:
    migrations.downgrade(protected, delete_messages=True, delete_operations=True)
    migrations.upgrade(protected)
    assert not admin.is_protected(protected)
