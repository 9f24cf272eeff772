"""Characters that a database's encoding, or a connection's, has not got."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import URL, Engine, NullPool, create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

from mdb_sqla import (
    AsyncMessageStore,
    InvalidArgument,
    InvalidMessage,
    Message,
    MessageStore,
    migrations,
)


@pytest.fixture(params=["LATIN1", "EUC_JP", "WIN1252", "KOI8R"])
def encoded(request: pytest.FixtureRequest, server_url: URL) -> Iterator[URL]:
    """A database with a store, in an encoding that is not UTF-8."""
    name = f"encoded_{request.param.lower()}"
    server = create_engine(server_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with server.connect() as connection:
        connection.execute(
            text(f"CREATE DATABASE {name} ENCODING '{request.param}' LOCALE 'C' TEMPLATE template0")
        )
    try:
        url = server_url.set(database=name)
        engine = create_engine(url, poolclass=NullPool)
        migrations.upgrade(engine)
        yield url
    finally:
        with server.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


def escaped(value: Any) -> str:
    return json.dumps(value)


def as_it_is(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def write(url: URL, message: Message) -> None:
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        MessageStore(connection).write("a-1", message)


def refused(engine: Engine, stream_name: str, messages: list[Message]) -> InvalidMessage:
    with engine.connect() as connection, pytest.raises(InvalidMessage) as error:
        MessageStore(connection).write(stream_name, messages)
    return error.value


@pytest.mark.parametrize("number", [1, 250])
@pytest.mark.parametrize("serialize", [escaped, as_it_is])
def test_a_message_with_one_is_named(encoded: URL, number: int, serialize: Any) -> None:
    engine = create_engine(encoded, poolclass=NullPool, json_serializer=serialize)
    others = [Message("T", {"text": "a"}) for _ in range(number - 1)]
    message = Message("T", ["a", {"text": "\U0001f600"}])
    assert refused(engine, "a-1", [*others, message]).message is message
    message = Message("T", None, {"\U0001f600": 1})
    assert "characters of its metadata" in str(refused(engine, "a-1", [*others, message]))
    message = Message("\U0001f600")
    assert "characters of its type" in str(refused(engine, "a-1", [*others, message]))
    assert "characters of its stream name" in str(
        refused(engine, "\U0001f600-1", [*others, message])
    )


@pytest.mark.parametrize("number", [1, 250])
@pytest.mark.parametrize("encoding", ["latin1", "win1252", "euc_jp"])
def test_a_connection_has_another_encoding(clean_database: URL, encoding: str, number: int) -> None:
    engine = create_engine(
        clean_database,
        poolclass=NullPool,
        json_serializer=as_it_is,
        connect_args={"client_encoding": encoding},
    )
    message = Message("T", "\U0001f600")
    others = [Message("T", "a") for _ in range(number - 1)]
    if number == 1:
        error = refused(engine, "a-1", [*others, message])
        assert error.message is message
        assert "client_encoding can't represent characters of its data" in str(error)
    else:
        # COPY has an encoding of its own.
        with engine.begin() as connection:
            MessageStore(connection).write("a-1", [*others, message])


ENCODED = {
    "psycopg": {"client_encoding": "latin1"},
    "psycopg2": {"client_encoding": "latin1"},
    "asyncpg": {"server_settings": {"client_encoding": "latin1"}},
}
UTF8 = r'"LATIN1"\. Set connect_args=.*utf8'


@pytest.mark.parametrize(
    "read",
    [
        lambda store: store.read_stream("a-1"),
        lambda store: store.read_category("a"),
        lambda store: store.read_messages(),
        lambda store: store.last_message("a-1"),
        lambda store: list(store.iterate_stream("a-1")),
        lambda store: list(store.iterate_category("a")),
    ],
)
@pytest.mark.parametrize("message", [Message("T", "€"), Message("€"), Message("T", 1, {"€": 1})])
@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_a_read_says_that_the_connection_has_another_encoding(
    clean_database: URL, driver: str, message: Message, read: Callable[[MessageStore], object]
) -> None:
    write(clean_database, message)
    engine = create_engine(
        clean_database.set(drivername=f"postgresql+{driver}"),
        poolclass=NullPool,
        connect_args=ENCODED[driver],
    )

    with engine.connect() as connection, pytest.raises(InvalidArgument, match=UTF8):
        read(MessageStore(connection))


def test_an_asynchronous_read_says_so_too(clean_database: URL) -> None:
    write(clean_database, Message("T", "€"))
    engine = create_async_engine(
        clean_database.set(drivername="postgresql+asyncpg"),
        poolclass=NullPool,
        connect_args=ENCODED["asyncpg"],
    )

    async def read() -> None:
        async with engine.connect() as connection:
            with pytest.raises(InvalidArgument, match=UTF8):
                await AsyncMessageStore(connection).read_category("a")

    asyncio.run(read())


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_a_name_that_the_connection_has_not_got(clean_database: URL, driver: str) -> None:
    engine = create_engine(
        clean_database.set(drivername=f"postgresql+{driver}"),
        poolclass=NullPool,
        connect_args=ENCODED[driver],
    )

    with (
        engine.connect() as connection,
        pytest.raises(InvalidArgument, match=r"'\\u20ac'.* Set connect_args=.*utf8"),
    ):
        MessageStore(connection).read_category("€")


def test_a_name_that_the_database_has_not_got(encoded: URL) -> None:
    engine = create_engine(encoded, poolclass=NullPool, connect_args={"client_encoding": "utf8"})

    with (
        engine.connect() as connection,
        pytest.raises(InvalidArgument, match="can't store or look up other characters"),
    ):
        MessageStore(connection).read_category("\U0001f600")


def test_a_serializer_that_returns_nothing(clean_database: URL) -> None:
    engine = create_engine(clean_database, poolclass=NullPool, json_serializer=lambda _: "")
    assert "the data must be JSON" in str(refused(engine, "a-1", [Message("T", {"a": 1})]))
