"""What is not a store of Message DB 1.2 or 1.3 is refused, and nothing of it is changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import URL, Engine, create_engine

from mdb_sqla import UnrecognizedStore, migrations
from tests.conftest import Databases
from tests.migrations.catalog import catalog, catalog_within
from tests.migrations.conftest import Originals, connected, contents, engine_of

_RENAMED = "ALTER FUNCTION {} RENAME TO another"
_VERSION = (
    "CREATE OR REPLACE FUNCTION message_store_version() RETURNS varchar "
    "LANGUAGE sql AS $$SELECT {}::varchar$$"
)
_INVALID = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'messages_category'::regclass"
_CATEGORY_INDEX = "DROP INDEX messages_category; CREATE INDEX messages_category ON messages "

CHANGED_STORES = {
    # Columns
    "ALTER TABLE messages DROP metadata": "column metadata is missing, not jsonb",
    "ALTER TABLE messages DROP time": "column time is missing, not timestamp without",
    "ALTER TABLE messages ADD tenant text": "column tenant is text, not expected",
    "ALTER TABLE messages RENAME type TO kind": "column kind is text NOT NULL, not expected",
    "ALTER TABLE messages DROP id CASCADE; ALTER TABLE messages ADD id text": (
        "column id is text, not uuid NOT NULL"
    ),
    "ALTER TABLE messages ALTER position TYPE int": "column position is integer NOT NULL, not big",
    "ALTER TABLE messages ALTER time TYPE timestamptz": "column time is timestamp with time zone",
    "ALTER TABLE messages ALTER time TYPE timestamp(3)": "column time is timestamp(3) without",
    "ALTER TABLE messages ALTER data TYPE json USING NULL": "column data is json, not jsonb",
    "ALTER TABLE messages ALTER data SET DEFAULT '{}'; "
    "UPDATE messages SET data = '{}'; ALTER TABLE messages ALTER data SET NOT NULL": (
        "column data is jsonb NOT NULL, not jsonb"
    ),
    "ALTER TABLE messages ALTER type DROP NOT NULL": "column type is text, not text NOT NULL",
    "ALTER TABLE messages ALTER id DROP NOT NULL": "column id is uuid, not uuid NOT NULL",
    # The sequence
    "ALTER TABLE messages ALTER global_position DROP DEFAULT": "draw from the sequence",
    "CREATE SEQUENCE other; ALTER TABLE messages ALTER global_position "
    "SET DEFAULT nextval('other')": "draw from the sequence",
    "ALTER TABLE messages ALTER global_position DROP DEFAULT, "
    "ALTER global_position ADD GENERATED ALWAYS AS IDENTITY": "draw from the sequence",
    "ALTER SEQUENCE messages_global_position_seq OWNED BY NONE": "sequence",
    # Indexes
    "ALTER TABLE messages DROP CONSTRAINT messages_pkey": "index messages_pkey is missing",
    "DROP INDEX messages_id": "index messages_id is missing, not unique (id)",
    "DROP INDEX messages_stream": "index messages_stream is missing, not unique (stream_name, ",
    "DROP INDEX messages_category": "index messages_category is missing",
    "ALTER INDEX messages_id RENAME TO ids": "index messages_id is missing",
    "DROP INDEX messages_id; CREATE INDEX messages_id ON messages (id)": (
        "index messages_id is (id), not unique (id)"
    ),
    "DROP INDEX messages_id; CREATE UNIQUE INDEX messages_id ON messages (id) "
    "WHERE position > 0": "index messages_id is missing",
    "DROP INDEX messages_stream; CREATE INDEX messages_stream ON messages "
    "(stream_name, position)": "index messages_stream is (stream_name, ",
    "DROP INDEX messages_stream; CREATE UNIQUE INDEX messages_stream ON messages "
    "(stream_name, global_position)": "index messages_stream is unique (stream_name, global_pos",
    "ALTER TABLE messages DROP CONSTRAINT messages_pkey; "
    "ALTER TABLE messages ADD CONSTRAINT messages_pkey PRIMARY KEY (id)": (
        "index messages_pkey is unique (id), not unique (global_position)"
    ),
    _CATEGORY_INDEX + "(category(stream_name), global_position)": (
        "index messages_category is (category(stream_name::character varying), global_position), "
    ),
    _CATEGORY_INDEX + "(stream_name, global_position, metadata)": "index messages_category is (str",
    _INVALID: "index messages_category is invalid (category(",
    # Functions
    _RENAMED.format("acquire_lock"): "function acquire_lock(varchar) is missing",
    _RENAMED.format("cardinal_id"): "function cardinal_id(varchar) is missing",
    _RENAMED.format("category"): "function category(varchar) is missing",
    _RENAMED.format("get_category_messages"): "function get_category_messages(varchar, bigint, bi",
    _RENAMED.format("get_last_stream_message"): "function get_last_stream_message",
    _RENAMED.format("get_stream_messages"): "function get_stream_messages(varchar, bigint, bigint",
    _RENAMED.format("hash_64"): "function hash_64(varchar) is missing",
    _RENAMED.format("id"): "function id(varchar) is missing",
    _RENAMED.format("is_category"): "function is_category(varchar) is missing",
    _RENAMED.format("message_store_version"): "function message_store_version() is missing",
    _RENAMED.format("stream_version"): "function stream_version(varchar) is missing",
    _RENAMED.format("write_message"): "function write_message(varchar, varchar, varchar, jsonb, js",
    "DROP FUNCTION hash_64; CREATE FUNCTION hash_64(value varchar) RETURNS text "
    "LANGUAGE sql AS 'SELECT $1'": "function hash_64(varchar)",
    "DROP FUNCTION hash_64; CREATE FUNCTION hash_64(text varchar) RETURNS bigint "
    "LANGUAGE sql AS 'SELECT 1::bigint'": "function hash_64(varchar)",
    "DROP FUNCTION hash_64; CREATE PROCEDURE hash_64(value varchar) "
    "LANGUAGE sql AS 'SELECT 1'": "function hash_64(varchar)",
    # The type
    "ALTER TYPE message ADD ATTRIBUTE tenant varchar": "type message is (id character varying, ",
    "ALTER TYPE message DROP ATTRIBUTE metadata": "type message is (id character varying, stream",
    "ALTER TYPE message ALTER ATTRIBUTE position TYPE int": "type message is (id character varyin",
    "ALTER TYPE message RENAME TO msg": "type message is (missing)",
    # Views
    "ALTER VIEW type_summary RENAME message_count TO n": "type_summary",
    "DROP VIEW type_summary; CREATE TABLE type_summary (n int)": "type_summary",
    # Versions
    _VERSION.format("'1.1.6'"): "its version is 1.1.6, not 1.2 or 1.3.0",
    _VERSION.format("'1.4.0'"): "its version is 1.4.0",
    _VERSION.format("'1.3.01'"): "its version is 1.3.01",
    _VERSION.format("'2.0.0'"): "its version is 2.0.0",
    _VERSION.format("'my own'"): "its version is my own",
    _VERSION.format("NULL"): "its version is NULL",
}


@pytest.fixture(scope="module")
def unchanged(databases: Databases, originals: Originals) -> Iterator[Engine]:
    """A store of the original that each test changes in a transaction that it rolls back."""
    with databases.create(originals("1.3.0")) as url:
        engine = create_engine(url)
        yield engine
        engine.dispose()


@pytest.mark.parametrize(
    ("change", "problem"), CHANGED_STORES.items(), ids=[key[:60] for key in CHANGED_STORES]
)
def test_a_store_that_was_changed(unchanged: Engine, change: str, problem: str) -> None:
    with unchanged.connect() as connection:
        raw: Any = connection.connection.dbapi_connection
        connection.begin()
        raw.execute("SET LOCAL search_path = message_store")
        raw.execute(change)
        before = catalog_within(raw)

        attempt = connection.begin_nested()
        with pytest.raises(UnrecognizedStore) as refused:
            migrations.upgrade(connection)
        attempt.rollback()

        assert problem in str(refused.value)
        assert catalog_within(raw) == before


def test_nothing_is_committed_before_the_refusal(original_1_3: URL) -> None:
    with connected(original_1_3) as connection:
        connection.execute("ALTER TABLE messages ADD tenant text")
    before = catalog(original_1_3), contents(original_1_3)

    with pytest.raises(UnrecognizedStore):
        migrations.upgrade(engine_of(original_1_3), roles=True)

    assert (catalog(original_1_3), contents(original_1_3)) == before


def test_all_problems_are_named(original_1_3: URL) -> None:
    with connected(original_1_3) as connection:
        connection.execute("ALTER TABLE messages ADD tenant text; DROP INDEX messages_id")
        connection.execute("ALTER FUNCTION hash_64 RENAME TO another")

    with pytest.raises(UnrecognizedStore) as refused:
        migrations.upgrade(engine_of(original_1_3))

    for problem in ("column tenant", "index messages_id", "function hash_64"):
        assert problem in str(refused.value)


OTHER_SCHEMAS = {
    "CREATE TABLE messages (id serial PRIMARY KEY, body text)": "column body is text, not expected",
    "CREATE VIEW messages AS SELECT 1 AS id": "column id is integer",
    "CREATE TABLE messages ()": "column global_position is missing",
    "CREATE TABLE type_summary (n int)": "has no table messages, but it has type_summary",
    "CREATE VIEW stream_summary AS SELECT 1 AS n": "but it has stream_summary",
    "CREATE TYPE message AS (n int)": "but it has message",
    "CREATE SEQUENCE messages_global_position_seq": "but it has messages_global_position_seq",
    "CREATE FUNCTION hash_64(varchar) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'": (
        "but it has hash_64"
    ),
    "CREATE FUNCTION id() RETURNS int LANGUAGE sql AS 'SELECT 1'; "
    "CREATE VIEW type_stream_summary AS SELECT 1 AS n": "but it has id, type_stream_summary",
}


@pytest.mark.parametrize(
    ("content", "problem"), OTHER_SCHEMAS.items(), ids=[key[:60] for key in OTHER_SCHEMAS]
)
def test_a_schema_with_something_else(unchanged: Engine, content: str, problem: str) -> None:
    with unchanged.connect() as connection:
        raw: Any = connection.connection.dbapi_connection
        connection.begin()
        raw.execute("CREATE SCHEMA events; SET LOCAL search_path = events")
        raw.execute(content)
        before = catalog_within(raw)

        attempt = connection.begin_nested()
        with pytest.raises(UnrecognizedStore) as refused:
            migrations.upgrade(connection, schema="events")
        attempt.rollback()

        assert str(refused.value).startswith('Schema "events" ')
        assert problem in str(refused.value)
        assert catalog_within(raw) == before
