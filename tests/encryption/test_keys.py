"""The table of keys: created once, wrapped, read by those who may, and deleted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import URL, Engine, create_engine, text

from mdb_sqla import (
    DataExists,
    DecryptionFailed,
    InvalidArgument,
    Message,
    MessageStore,
    NoSubjectKey,
    NotPermitted,
    StoreNotInstalled,
    SubjectForgotten,
    migrations,
    tables,
)
from mdb_sqla.encryption import AsyncKeyTable, KeyTable
from mdb_sqla.erasure import forget_subject
from tests.conftest import Databases, Flavour
from tests.encryption.conftest import ADA, MASTER, Shop
from tests.waiting import wait_until


@pytest.fixture
def keys(shop: Shop) -> KeyTable:
    return KeyTable(shop.engine, MASTER)


def test_a_key_is_created_once(shop: Shop, keys: KeyTable) -> None:
    key = keys.create_key("ada")
    assert len(key) == 32
    assert keys.create_key("ada") == keys.find_key("ada") == key
    assert keys.create_key("bob") != key
    assert [row[0] for row in shop.rows()] == ["ada", "bob"]


def test_the_table_does_not_have_the_key(shop: Shop, keys: KeyTable) -> None:
    key = keys.create_key("ada")
    ((_, wrapped, _),) = shop.rows()
    assert key not in wrapped
    with pytest.raises(DecryptionFailed, match="key of subject ada can't be decrypted: it was alt"):
        KeyTable(shop.engine, b"x" * 32).find_key("ada")


def test_a_wrapped_key_of_another_subject(shop: Shop, keys: KeyTable) -> None:
    keys.create_key("ada")
    with shop.engine.begin() as connection:
        connection.execute(text("UPDATE message_store.subject_keys SET subject = 'eve'"))
    with pytest.raises(DecryptionFailed):
        keys.find_key("eve")


def test_two_processes_that_create_a_key_at_once_agree(shop: Shop, keys: KeyTable) -> None:
    def is_waiting() -> Any:
        with shop.engine.connect() as connection:
            return connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted"))

    # A row of the first one, which has not committed when the second one looks for it.
    first = KeyTable(shop.engine, MASTER)._keys
    with ThreadPoolExecutor(1) as threads:
        with shop.engine.begin() as connection:
            key = first.create(connection, "ada")
            second = threads.submit(keys.create_key, "ada")
            wait_until(is_waiting)
        assert second.result() == key
    assert len(shop.rows()) == 1


def test_many_threads(keys: KeyTable) -> None:
    subjects = [f"subject-{number % 10}" for number in range(100)]
    with ThreadPoolExecutor(5) as threads:
        found = list(threads.map(keys.create_key, subjects))
    assert len(set(found)) == 10
    assert len(set(zip(subjects, found, strict=True))) == 10


def test_a_key_that_is_forgotten(shop: Shop, keys: KeyTable) -> None:
    keys.create_key("ada")
    keys.create_key("bob")
    assert shop.forget()
    assert not shop.forget()
    assert keys.find_key("ada") is None
    with pytest.raises(SubjectForgotten):
        keys.create_key("ada")
    assert keys.find_key("bob") is not None
    (ada, bob) = shop.rows()
    assert ada[1] is None
    assert ada[2] is not None
    assert bob[2] is None
    log = tables.deletions.c
    with shop.engine.connect() as connection:
        (row,) = connection.execute(tables.deletions.select().order_by(log.id))
    assert (row.kind, row.subject, row.reason, row.messages) == ("key", "ada", "request 7", None)
    assert row.deleted_by == "postgres"


def test_a_key_that_never_was(shop: Shop, keys: KeyTable) -> None:
    with pytest.raises(NoSubjectKey):
        keys.find_key("ada")
    with pytest.raises(InvalidArgument, match="There is no key for subject ada"):
        shop.forget()


def test_forgetting_that_is_rolled_back(shop: Shop, keys: KeyTable) -> None:
    key = keys.create_key("ada")
    with shop.engine.connect() as connection:
        forget_subject(connection, "ada", reason="request 7")
    assert keys.find_key("ada") == key


@pytest.mark.parametrize(
    ("subject", "reason", "message"),
    [
        ("", "r", "subject must be a non-empty string"),
        (None, "r", "subject must be a non-empty string"),
        ("a" * 1001, "r", "subject must be at most 1,000 bytes"),
        ("ada", "", "reason must be a non-empty string"),
        ("ada", None, "reason must be a non-empty string"),
    ],
)
def test_arguments_that_are_refused(
    shop: Shop, keys: KeyTable, subject: Any, reason: Any, message: str
) -> None:
    keys.create_key("ada")
    with shop.engine.begin() as connection, pytest.raises(InvalidArgument, match=message):
        forget_subject(connection, subject, reason=reason)
    assert keys.find_key("ada") is not None


@pytest.mark.parametrize(
    ("master_key", "message"),
    [
        ("m" * 32, "master_key must be 32 bytes, got str"),
        (b"secret", "master_key must be 32 bytes, got 6"),
        ([b"m" * 32, b"secret"], "master_key must be 32 bytes, got 6"),
        ([], "master_key must be at least one key"),
        (None, "master_key must be 32 bytes, got NoneType"),
    ],
)
def test_master_keys_that_are_refused(shop: Shop, master_key: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message) as refused:
        KeyTable(shop.engine, master_key)
    assert "secret" not in str(refused.value)


def test_what_is_no_engine(shop: Shop) -> None:
    engine: Any = "postgresql://localhost"
    for kind in (KeyTable, AsyncKeyTable):
        with pytest.raises(InvalidArgument, match="engine must be an instance of"):
            kind(engine, MASTER)


def test_another_master_key(shop: Shop, keys: KeyTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mdb_sqla.encryption.key_table._BATCH", 2)
    old = {subject: keys.create_key(subject) for subject in ("ada", "bob", "eve", "kim", "zoe")}
    shop.forget("eve")
    old["eve"] = None  # type: ignore[assignment]
    both = KeyTable(shop.engine, [b"n" * 32, MASTER])
    new = KeyTable(shop.engine, b"n" * 32)
    assert both.find_key("ada") == old["ada"]
    assert new.find_key("eve") is None
    with pytest.raises(DecryptionFailed):
        new.rewrap()
    assert both.rewrap() == 4
    assert {subject: new.find_key(subject) for subject in old} == old
    with pytest.raises(DecryptionFailed):
        keys.find_key("ada")


def test_a_rollback_of_the_application_does_not_lose_a_key(shop: Shop) -> None:
    """The key in memory must be that in the database, or what it encrypts next is lost."""
    encryption = shop.encryption()
    with shop.engine.begin() as connection:
        MessageStore(connection).write("customer-1", encryption.encrypt(Message("Registered", ADA)))
        connection.rollback()
    shop.write(encryption)
    assert [data["name"] for data in shop.read(shop.encryption())] == ["Ada"]


def test_with_an_async_engine(flavour: Flavour, shop: Shop) -> None:
    if not flavour.asynchronous:
        pytest.skip("with an async engine")
    keys = AsyncKeyTable(flavour.engine, MASTER)
    with pytest.raises(NoSubjectKey):
        flavour.run(keys.find_key("ada"))
    key = flavour.run(keys.create_key("ada"))
    assert flavour.run(keys.find_key("ada")) == KeyTable(shop.engine, MASTER).find_key("ada") == key
    shop.forget()
    assert flavour.run(keys.find_key("ada")) is None
    with pytest.raises(SubjectForgotten):
        flavour.run(keys.create_key("ada"))


def test_another_schema(shop: Shop) -> None:
    migrations.upgrade(shop.engine, schema="events")
    try:
        events = shop.engine.execution_options(schema_translate_map={"message_store": "events"})
        KeyTable(events, MASTER).create_key("ada")
        assert shop.rows() == []
        assert len(Shop(events).rows()) == 1
        assert Shop(events).forget()
        with pytest.raises(StoreNotInstalled):
            KeyTable(
                shop.engine.execution_options(schema_translate_map={"message_store": "none"}),
                MASTER,
            ).find_key("ada")
    finally:
        migrations.downgrade(shop.engine, schema="events", delete_keys=True, delete_retention=True)


def test_a_downgrade_keeps_them_unless_it_is_allowed(engine: Engine) -> None:
    keys = KeyTable(engine, MASTER)
    keys.create_key("ada")
    with pytest.raises(DataExists, match=r"would delete .*: keys of subjects \(1\)") as refused:
        migrations.downgrade(engine, delete_messages=True, delete_retention=True)
    assert "delete_keys=True" in refused.value.__notes__[0]
    assert keys.find_key("ada") is not None
    migrations.downgrade(engine, delete_keys=True)
    with pytest.raises(StoreNotInstalled):
        keys.find_key("ada")


ROLE = f"mdb_sqla_keys_{os.getpid()}"


@pytest.fixture
def role(databases: Databases, shop: Shop, clean_database: URL) -> Iterator[Engine]:
    """An engine of a role with all privileges of the store's roles."""
    databases.execute(f"CREATE ROLE {ROLE} LOGIN")
    with shop.engine.begin() as connection:
        for grant in (
            "USAGE ON SCHEMA message_store",
            "SELECT, INSERT ON message_store.messages, message_store.deletions",
        ):
            connection.execute(text(f"GRANT {grant} TO {ROLE}"))
    engine = create_engine(clean_database.set(username=ROLE))
    yield engine
    engine.dispose()
    with shop.engine.begin() as connection:
        connection.execute(text(f"DROP OWNED BY {ROLE}"))
    databases.execute(f"DROP ROLE {ROLE}")


def test_only_those_who_may_read_the_keys(shop: Shop, keys: KeyTable, role: Engine) -> None:
    def grant(privilege: str) -> None:
        with shop.engine.begin() as connection:
            connection.execute(text(f"GRANT {privilege} ON message_store.subject_keys TO {ROLE}"))

    theirs = KeyTable(role, MASTER)
    key = keys.create_key("ada")
    for call in (theirs.find_key, theirs.create_key):
        with pytest.raises(NotPermitted, match="subject_keys"):
            call("ada")
    grant("SELECT")
    assert theirs.find_key("ada") == theirs.create_key("ada") == key
    with pytest.raises(NotPermitted, match="subject_keys"):
        theirs.create_key("bob")
    grant("INSERT")
    theirs.create_key("bob")
    with role.begin() as connection, pytest.raises(NotPermitted, match="subject_keys"):
        forget_subject(connection, "ada", reason="request 7")
    grant("UPDATE")
    with role.begin() as connection:
        assert forget_subject(connection, "ada", reason="request 7")
    assert keys.find_key("ada") is None
