"""What a caller passes is a value, whatever it looks like, in whichever place it stands."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest
from psycopg import sql
from sqlalchemy import URL, Connection, NullPool, create_engine, event, func, select, text
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import sessionmaker

from mdb_sqla import (
    Consumer,
    Group,
    InvalidArgument,
    InvalidMessage,
    InvalidSchemaName,
    Message,
    RetryPolicy,
    migrations,
    tables,
)
from mdb_sqla.consumers import dead_letter_queue
from mdb_sqla.store.copy_writes import COPY_THRESHOLD
from mdb_sqla.wake_up.listener import subscribe
from tests.conftest import Flavour
from tests.security.strings import HOSTILE

PATIENCE = 10.0  # seconds

hostile = pytest.mark.parametrize("value", HOSTILE, ids=lambda value: ascii(value[:12]))


def message_of(value: str) -> Message:
    metadata = {value: value, "correlationStreamName": f"{category_of(value)}-1"}
    return Message(value, {value: [value]}, metadata)


def category_of(value: str) -> str:
    # The first dash ends a category.
    return value.replace("-", "_")


@hostile
def test_the_library(flavour: Flavour, value: str) -> None:
    category = category_of(value)
    stream, message = f"{category}-{value}", message_of(value)
    with flavour.session() as session:
        store = flavour.store(session)
        flavour.run(store.write(stream, message, expected_version=-1))
        flavour.run(store.write_messages([(stream, message)], expected_versions={stream: 0}))
        flavour.run(session.commit())

        read = flavour.run(store.read_stream(stream))
        assert [(each.type, each.data) for each in read] == [(value, {value: [value]})]
        assert read[0].metadata == message.metadata
        assert flavour.run(store.read_category(category, correlation=category)) == read
        assert flavour.run(store.read_messages([category, "other"])) == read
        assert flavour.run(store.last_message(stream, value)) == read[0]
        assert flavour.run(store.version(stream)) == 0


@hostile
def test_copy(flavour: Flavour, value: str) -> None:
    stream, message = f"{category_of(value)}-{value}", message_of(value)
    sent: list[str] = []
    engine = flavour.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *values: sent.append(values[2]))
    with flavour.session() as session:
        store = flavour.store(session)
        messages = [("many-1", Message("Many")) for _ in range(COPY_THRESHOLD)]
        flavour.run(store.write_messages([(stream, message), *messages]))

        (read,) = flavour.run(store.read_stream(stream))
        assert read.type == message.type
        assert (read.data, read.metadata) == (message.data, message.metadata)
    # It was COPY that wrote it, and not what comes to its help.
    assert "RELEASE SAVEPOINT mdb_sqla_copy" in sent


@hostile
def test_consumers_and_members(flavour: Flavour, value: str) -> None:
    value = value[:1_000]  # bytes, for a key
    factory: Any = (async_sessionmaker if flavour.asynchronous else sessionmaker)(flavour.engine)
    with flavour.session() as session:
        flavour.run(flavour.store(session).write("account-1", Message("Opened")))
        flavour.run(session.commit())
    group = Group(slots=1, member=value)
    once = RetryPolicy(max_attempts=1)
    consumer = Consumer(value, "account", group=group, on_failure="dead_letter", retry_policy=once)

    def fail(_message: object, _unit: object) -> None:
        raise LookupError(value + "\0")

    async def fail_async(message: object, unit: object) -> None:
        fail(message, unit)

    consumer.on("Opened")(fail_async if flavour.asynchronous else fail)
    if flavour.asynchronous:
        flavour.run(consumer.catch_up_async(factory))
    else:
        consumer.catch_up(factory)

    administration = create_engine(
        flavour.engine.url.set(drivername="postgresql+psycopg"), poolclass=NullPool
    )
    with administration.begin() as connection:
        (letter,) = dead_letter_queue.dead_letters(connection, value)
        assert value in str(letter.error)
        slots = select(tables.consumer_slots.c.consumer)
        assert connection.scalars(slots).all() == [value]
        dead_letter_queue.skip(connection, value, letter.global_position)


def test_nul_is_refused_before_anything_is_sent(flavour: Flavour) -> None:
    with pytest.raises(InvalidMessage):
        Message("\0")
    with flavour.session() as session, pytest.raises(InvalidArgument):
        flavour.run(flavour.store(session).write("account-\0", Message("Opened")))


SCHEMAS = [
    "'); DROP SCHEMA public; --",
    '"; DROP SCHEMA public; --',
    "\\'; SELECT 1; --",
    "%s %(name)s %I",
    ":name",
    "{schema} {0}",
    "line\nDROP SCHEMA public;\n",
    "ünï \U0001f4a5",
]


@pytest.fixture(params=SCHEMAS, ids=ascii)
def schema(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_schema_and_its_channel(flavour: Flavour, schema: str) -> None:
    """All that is made with the schema's name: DDL, COPY, LISTEN and NOTIFY."""
    options = {"schema_translate_map": {"message_store": schema}}
    flavour.engine = flavour.engine.execution_options(**options)
    engine = flavour.engine.sync_engine if flavour.asynchronous else flavour.engine
    administration = create_engine(
        flavour.engine.url.set(drivername="postgresql+psycopg"), poolclass=NullPool
    )
    migrations.upgrade(administration, schema=schema)
    woken = Event()
    try:
        with flavour.session() as session:  # Initializes the dialect.
            assert (
                flavour.run(session.scalar(select(func.count()).select_from(tables.messages))) == 0
            )
        with subscribe(engine, ["account"], woken.set):
            assert woken.wait(PATIENCE)
            woken.clear()
            with flavour.session() as session:
                messages = [("account-1", Message("Opened")) for _ in range(COPY_THRESHOLD)]
                flavour.run(flavour.store(session).write_messages(messages))
                flavour.run(session.commit())
            assert woken.wait(PATIENCE)
        with flavour.session() as session:
            assert flavour.run(flavour.store(session).version("account-1")) == COPY_THRESHOLD - 1
    finally:
        migrations.downgrade(administration, schema=schema, delete_messages=True)


@pytest.mark.parametrize("schema", ["", "a$b", "$$", "a\0b", "a[b", "a]", "ü" * 32])
def test_a_schema_that_can_be_none(clean_database: URL, schema: str) -> None:
    with pytest.raises(InvalidSchemaName):
        migrations.upgrade(create_engine(clean_database, poolclass=NullPool), schema=schema)


@pytest.fixture(params=["", "SET LOCAL message_store.debug = 'on'"], ids=["", "debug"])
def plain(connection: Connection, request: pytest.FixtureRequest) -> Iterator[Connection]:
    """A connection for plain SQL; with `debug` the functions put their statements together."""
    if request.param:
        connection.execute(text(request.param))
    yield connection
    assert connection.scalar(text("SELECT to_regclass('message_store.messages') IS NOT NULL"))


@hostile
def test_the_functions(plain: Connection, value: str) -> None:
    """As a client in another language calls them, with arguments as literals."""
    category = category_of(value)
    values = {"category": category, "stream": f"{category}-{value}", "value": value}

    def call(query: str) -> list[Any]:
        literals = {name: sql.Literal(each) for name, each in values.items()}
        driver: Any = plain.connection.driver_connection
        rows: list[Any] = driver.execute(sql.SQL(query).format(**literals)).fetchall()
        return rows

    document = "jsonb_build_object({value}::text, {value}::text)"
    correlation = "jsonb_build_object('correlationStreamName', {category} || '-1')"
    write = f"gen_random_uuid()::varchar, {{stream}}, {{value}}, {document}, {correlation}"
    assert call(f"SELECT message_store.write_message({write}, -1)") == [(0,)]

    columns = "SELECT stream_name, type, data::jsonb ->> {value} FROM message_store."
    stored = [(values["stream"], value, value)]
    assert call(f"{columns}get_stream_messages({{stream}})") == stored
    assert call(f"{columns}get_last_stream_message({{stream}}, {{value}})") == stored
    assert (
        call(f"{columns}get_category_messages({{category}}, correlation => {{category}})") == stored
    )
    assert (
        call(f"{columns}get_messages(ARRAY[{{category}}], correlation => {{category}})") == stored
    )
    assert call("SELECT message_store.category({stream})") == [(category,)]
    assert call("SELECT message_store.id({stream})") == [(value,)]


@hostile
def test_an_id_that_is_none(plain: Connection, value: str) -> None:
    write = text("SELECT message_store.write_message(:id, 'a-1', 'A', '{}')")
    with pytest.raises(Exception, match="invalid input syntax for type uuid"), plain.begin_nested():
        plain.execute(write, {"id": value})
