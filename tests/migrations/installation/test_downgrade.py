"""A downgrade leaves the database as the upgrade found it."""

from __future__ import annotations

from enum import Enum
from io import StringIO

import pytest
from psycopg import sql
from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from mdb_sqla import (
    DataExists,
    InvalidSchemaName,
    Message,
    MessageStore,
    StoreNotInstalled,
    migrations,
)
from mdb_sqla.admin.granularity_switch import lock_granularity, set_lock_granularity
from mdb_sqla.admin.verification import verify
from mdb_sqla.store.copy_writes import COPY_THRESHOLD
from tests.migrations.catalog import catalog
from tests.migrations.conftest import connected, contents, engine_of

SCHEMAS = [
    "message_store",
    "My 'Ev\"ents% :x",
    "user",
    "消息 ünï 😀",
    "ü" * 31,
    "e" * 63,
    "UPPER",
    " ",
    "1",
    "%s %(x)s %%",
    ":x ::int",
    "back\\slash",
    "two\nlines",
    "; -- /*",
    "{schema}",
    "{schema_literal}",
]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_under_any_schema_name(empty_database: URL, schema: str) -> None:
    before = catalog(empty_database)
    engine = engine_of(empty_database)
    write = sql.SQL("SELECT {}(gen_random_uuid()::varchar, 'a-1', 'A', '{{}}')").format(
        sql.Identifier(schema, "write_message")
    )
    read = sql.SQL("SELECT position FROM {}('a', condition => 'true')").format(
        sql.Identifier(schema, "get_category_messages")
    )

    migrations.upgrade(engine, schema=schema)
    assert migrations.upgrade(engine, schema=schema) == []
    with connected(empty_database) as connection:
        connection.execute("SET message_store.sql_condition = 'on'")
        assert connection.execute(write).fetchone() == (0,)
        assert connection.execute(write).fetchone() == (1,)
        assert connection.execute(read).fetchall() == [(0,), (1,)]
    with pytest.raises(DataExists):
        migrations.downgrade(engine, schema=schema)
    migrations.downgrade(engine, schema=schema, delete_messages=True)

    assert catalog(empty_database) == before


class Schema(str, Enum):  # noqa: UP042
    """Not a `StrEnum`: `str()` of a member is `Schema.EVENTS`."""

    EVENTS = "events"


def test_a_name_that_is_also_an_enum_is_its_value(empty_database: URL) -> None:
    engine = engine_of(empty_database)
    assert migrations.upgrade(engine, schema=Schema.EVENTS) != []
    assert migrations.upgrade(engine, schema="events") == []
    set_lock_granularity(engine, "stream", schema=Schema.EVENTS)
    assert lock_granularity(engine, schema="events") == "stream"
    assert verify(engine, schema=Schema.EVENTS).differences == []
    translated = engine.execution_options(schema_translate_map={"message_store": Schema.EVENTS})
    messages = [("order-1", Message("T")) for _ in range(COPY_THRESHOLD)]
    with translated.begin() as connection:
        assert len(MessageStore(connection).write_messages(messages)) == COPY_THRESHOLD
    migrations.downgrade(engine, schema=Schema.EVENTS, delete_messages=True, delete_operations=True)
    script = StringIO()
    migrations.write_upgrade_script(script, schema=Schema.EVENTS)

    assert "Schema.EVENTS" not in script.getvalue()
    assert "events" not in [row[0] for row in catalog(empty_database)["schemas"]]


@pytest.mark.parametrize("schema", ["", "e" * 64, "ü" * 32, "x$do$", "x\0y", "x\ud800", 4])
def test_not_under_a_name_that_cannot_be_one(empty_database: URL, schema: str) -> None:
    before = catalog(empty_database)

    with pytest.raises(InvalidSchemaName):
        migrations.upgrade(engine_of(empty_database), schema=schema)

    assert catalog(empty_database) == before


@pytest.mark.parametrize(
    "content",
    [
        "SELECT",
        "COMMENT ON SCHEMA events IS 'ours'",
        "GRANT USAGE ON SCHEMA events TO PUBLIC",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA events GRANT SELECT ON TABLES TO PUBLIC",
        "CREATE TABLE events.orders (id int PRIMARY KEY); "
        "CREATE VIEW events.open_orders AS SELECT * FROM events.orders",
        "CREATE FUNCTION events.orders_of(int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ],
    ids=["empty", "comment", "grant", "default privileges", "table", "function"],
)
def test_a_schema_that_was_there_before_stays(empty_database: URL, content: str) -> None:
    with connected(empty_database) as connection:
        connection.execute("CREATE SCHEMA events")
        connection.execute(content.encode())
    before = catalog(empty_database)
    engine = engine_of(empty_database)

    migrations.upgrade(engine, schema="events")
    migrations.downgrade(engine, schema="events")

    assert catalog(empty_database) == before


def test_the_schema_stays_as_long_as_others_have_something_in_it(empty_database: URL) -> None:
    before = catalog(empty_database)
    engine = engine_of(empty_database)
    migrations.upgrade(engine, schema="events")
    with connected(empty_database) as connection:
        connection.execute("CREATE TABLE events.orders AS SELECT 1 AS id")

        migrations.downgrade(engine, schema="events")

        assert connection.execute("SELECT id FROM events.orders").fetchall() == [(1,)]
        assert [row[1] for row in catalog(empty_database)["relations"]] == ["orders"]
        migrations.upgrade(engine, schema="events")
        connection.execute("DROP TABLE events.orders")

    migrations.downgrade(engine, schema="events")

    assert catalog(empty_database) == before


def test_two_stores_in_one_database_do_not_meet(empty_database: URL) -> None:
    engine = engine_of(empty_database)
    migrations.upgrade(engine)
    before = catalog(empty_database)

    migrations.upgrade(engine, schema="events")
    migrations.downgrade(engine, schema="events")

    assert catalog(empty_database) == before


def test_messages_are_not_deleted_unasked(database: URL) -> None:
    with connected(database) as connection:
        connection.execute("SELECT write_message(gen_random_uuid()::varchar, 'a-1', 'A', '{}')")
    before = catalog(database), contents(database)
    engine = engine_of(database)

    with pytest.raises(DataExists, match=r'in schema "message_store": messages \(1\)'):
        migrations.downgrade(engine)
    assert (catalog(database), contents(database)) == before

    migrations.downgrade(engine, delete_messages=True)
    assert [row[0] for row in catalog(database)["schemas"]] == ["public"]


@pytest.mark.parametrize(
    "built",
    [
        "CREATE VIEW public.busy AS SELECT * FROM message_store.stream_summary",
        "CREATE VIEW public.types AS SELECT DISTINCT type FROM message_store.messages",
        "CREATE TABLE public.seen (position bigint REFERENCES message_store.messages)",
        "CREATE TABLE public.copied OF message_store.message",
        "CREATE TABLE public.streams (name text, CHECK (message_store.is_category(name)))",
    ],
)
def test_what_others_built_on_it_is_never_dropped(database: URL, built: str) -> None:
    with connected(database) as connection:
        connection.execute(built.encode())
    before = catalog(database)

    with pytest.raises(DBAPIError, match="other objects depend on"):
        migrations.downgrade(engine_of(database), delete_messages=True)

    assert catalog(database) == before


def test_there_must_be_a_store(empty_database: URL, original_1_3: URL) -> None:
    for database, schema in (
        (empty_database, "message_store"),
        (empty_database, "public"),
        (original_1_3, "message_store"),
    ):
        before = catalog(database)
        with pytest.raises(StoreNotInstalled):
            migrations.downgrade(engine_of(database), schema=schema, delete_messages=True)
        assert catalog(database) == before
