"""Many messages to any streams: by one call of a function, or, from some number on, by COPY."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import URL, NullPool, create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from mdb_sqla import (
    NO_STREAM,
    AsyncMessageStore,
    Message,
    MessagePosition,
    MessageStore,
    migrations,
)
from mdb_sqla.admin.store_summary import summary
from mdb_sqla.database.execution import qualified
from mdb_sqla.store import copy_writes
from mdb_sqla.wake_up.channel import channel_of
from tests.store.batches.conftest import stored

SPECIAL = 'tab\t line\n return\r back\\slash \\N \\. quote" ünï 😀'


@contextmanager
def statements(flavour: Any) -> Iterator[list[str]]:
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(flavour.sync_engine, "before_cursor_execute", note)
    yield sent
    event.remove(flavour.sync_engine, "before_cursor_execute", note)


def test_are_written_in_their_order(flavour: Any, store: Any, session: Any) -> None:
    flavour.run(store.write("a-1", Message("Before")))

    positions = flavour.run(
        store.write_messages(
            [
                ("b-1", Message("First", {"n": [1, None]})),
                ("a-1", Message("Second", "text", {"properties": {}})),
                ("b-1", Message("Third")),
                ("a", Message("Fourth", 4)),
            ]
        )
    )

    first = positions[0].global_position
    assert positions == [
        MessagePosition(0, first),
        MessagePosition(1, first + 1),
        MessagePosition(1, first + 2),
        MessagePosition(0, first + 3),
    ]
    assert stored(flavour, session)[1:] == [
        ("b-1", 0, "First", {"n": [1, None]}, None),
        ("a-1", 1, "Second", "text", {"properties": {}}),
        ("b-1", 1, "Third", None, None),
        ("a", 0, "Fourth", 4, None),
    ]


def test_any_text_is_stored_as_it_is(flavour: Any, store: Any, session: Any) -> None:
    message = Message(SPECIAL, {SPECIAL: SPECIAL}, {SPECIAL: SPECIAL})
    flavour.run(store.write_messages([(f"a-{SPECIAL}", message)]))

    assert stored(flavour, session) == [
        (f"a-{SPECIAL}", 0, SPECIAL, {SPECIAL: SPECIAL}, {SPECIAL: SPECIAL})
    ]


def test_copying_is_used_where_there_are_many(flavour: Any, copies: bool, store: Any) -> None:
    with statements(flavour) as sent:
        flavour.run(store.write("a-1", [Message("T"), Message("T")]))

    kinds = ["prepare_copy", "SAVEPOINT", "RELEASE"] if copies else ["write_messages"]
    assert [kind in statement for kind, statement in zip(kinds, sent, strict=True)] == [
        True for _ in kinds
    ]


def test_nothing_is_nothing(flavour: Any, store: Any) -> None:
    with statements(flavour) as sent:
        assert flavour.run(store.write_messages([])) == []

    assert sent == []


@pytest.mark.parametrize("expected", [{"a-1": 0}, {"a-1": 0, "b-1": NO_STREAM, "c-1": 0}])
def test_with_expected_versions(flavour: Any, store: Any, expected: dict[str, int]) -> None:
    for name in ("a-1", "c-1"):
        flavour.run(store.write(name, Message("Before")))

    positions = flavour.run(
        store.write_messages(
            [("a-1", Message("T")), ("b-1", Message("T"))], expected_versions=expected
        )
    )

    assert [position.position for position in positions] == [1, 0]


def test_a_stream_that_is_only_expected_is_locked(flavour: Any, store: Any, session: Any) -> None:
    flavour.run(store.write_messages([], expected_versions={"a-1": NO_STREAM}))

    with flavour.connection() as connection:
        flavour.run(connection.execute(text("SET lock_timeout = '50ms'")))
        with pytest.raises(Exception, match="lock timeout"):
            flavour.run(flavour.store(connection).write("a-1", Message("T")))


def test_an_autocommit_connection_never_copies(flavour: Any, copies: bool) -> None:
    """Its locks would be gone before the COPY."""
    with (
        flavour.connection(isolation_level="AUTOCOMMIT") as connection,
        statements(flavour) as sent,
    ):
        flavour.run(flavour.store(connection).write("a-1", [Message("A"), Message("B")]))

    assert len(sent) == 1
    assert "write_messages" in sent[0]


def test_the_schema_that_the_search_path_finds(
    flavour: Any, copies: bool, empty_database: URL
) -> None:
    """None is the connection's own schema, also where there is one of the usual name."""
    plain = create_engine(empty_database, poolclass=NullPool)
    for schema in ("public", "message_store"):
        migrations.upgrade(plain, schema=schema)
    url = flavour.engine.url.set(database=empty_database.database)
    options: Any = {"execution_options": {"schema_translate_map": {"message_store": None}}}
    engine = create_engine(url.set(drivername="postgresql+psycopg"), **options)
    messages = [Message("A"), Message("B")]

    async def write() -> None:
        async_engine = create_async_engine(url, **options)
        async with async_engine.begin() as connection:
            await AsyncMessageStore(connection).write("a-1", messages)
        await async_engine.dispose()

    if flavour.asynchronous:
        flavour.run(write())
    else:
        with engine.begin() as connection:
            MessageStore(connection).write("a-1", messages)

    with engine.connect() as connection:
        assert MessageStore(connection).version("a-1") == 1
        assert qualified(connection, "messages") == '"public".messages'
        assert channel_of(connection) == "public"
        assert summary(connection).messages == 2
    with plain.connect() as connection:
        assert MessageStore(connection).version("a-1") == NO_STREAM
    engine.dispose()


def test_another_schema(flavour: Any, copies: bool, empty_database: URL) -> None:
    schema = "my 'Events'\\ \"x\" %"
    plain = create_engine(empty_database, poolclass=NullPool)
    migrations.upgrade(plain, schema=schema)
    options = {"schema_translate_map": {"message_store": schema}}
    url = flavour.engine.url.set(database=empty_database.database)
    engine: Any = (create_async_engine if flavour.asynchronous else create_engine)(
        url, execution_options=options
    )

    async def write() -> None:
        async with engine.begin() as connection:
            await AsyncMessageStore(connection).write("a-1", [Message("A"), Message("B")])
        await engine.dispose()

    if flavour.asynchronous:
        flavour.run(write())
    else:
        with engine.begin() as connection:
            MessageStore(connection).write("a-1", [Message("A"), Message("B")])
        engine.dispose()

    with plain.connect().execution_options(**options) as connection:
        assert MessageStore(connection).version("a-1") == 1


@pytest.mark.parametrize("copies", [True], indirect=True)
def test_a_connection_that_is_lost_while_copying(
    flavour: Any, copies: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with flavour.connection() as connection, flavour.connection() as other:
        pid = flavour.run(connection.scalar(text("SELECT pg_backend_pid()")))
        copy_text = copy_writes._COPY[connection.dialect.driver, flavour.asynchronous]
        terminate = text("SELECT pg_terminate_backend(:pid, 5000)")

        def lose_it(sync_connection: Any, rows: Any) -> None:
            getattr(other, "sync_connection", other).execute(terminate, {"pid": pid})
            copy_text(sync_connection, rows)

        monkeypatch.setitem(
            copy_writes._COPY, (connection.dialect.driver, flavour.asynchronous), lose_it
        )
        with pytest.raises(DBAPIError) as error:
            flavour.run(flavour.store(connection).write("a-1", Message("T")))

    assert error.value.connection_invalidated


@pytest.mark.parametrize("copies", [True], indirect=True)
def test_the_last_message_of_a_server_before_the_connection_ends(
    flavour: Any, copies: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if flavour.engine.driver != "asyncpg":
        pytest.skip("only asyncpg reads while it is idle")
    copy_text = copy_writes._COPY["asyncpg", True]
    report = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0"

    def lose_it(sync_connection: Any, rows: Any) -> None:
        protocol = sync_connection.connection.driver_connection._protocol
        protocol.data_received(b"E" + (len(report) + 4).to_bytes(4, "big") + report)
        copy_text(sync_connection, rows)

    monkeypatch.setitem(copy_writes._COPY, ("asyncpg", True), lose_it)
    with flavour.connection() as connection, pytest.raises(DBAPIError) as error:
        flavour.run(flavour.store(connection).write("a-1", Message("T")))
    assert error.value.connection_invalidated
