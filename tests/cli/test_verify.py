from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from sqlalchemy import URL, Engine, NullPool, create_engine, text

from mdb_sqla import Message, MessageStore, StoreNotInstalled, migrations
from mdb_sqla.admin.granularity_switch import set_lock_granularity
from mdb_sqla.admin.verification import Verification, schema_structure, verify
from tests.cli.running import told
from tests.cli.test_mdb import mdb
from tests.conftest import Databases
from tests.migrations.catalog import catalog

GLOBAL = "UPDATE messages SET global_position = global_position + 100 WHERE position = 0"

# What is done to a store, what it is about, and what is to be done.
BROKEN = {
    "a function's body": (
        "CREATE OR REPLACE FUNCTION stream_version(stream_name varchar) RETURNS bigint "
        "LANGUAGE plpgsql STABLE AS 'BEGIN RETURN 0; END'",
        "Function body stream_version(stream_name character varying)",
        "message_store_0002/functions/stream_version.sql",
    ),
    "a function's settings": (
        "ALTER FUNCTION get_stream_messages(varchar, bigint, bigint, varchar) RESET ALL",
        "Function get_stream_messages(",
        "message_store_0001/functions/get_stream_messages.sql",
    ),
    "a function's volatility": ("ALTER FUNCTION category VOLATILE", "Function category(", "0001"),
    "no function": ("DROP FUNCTION take_floor()", "Function take_floor()", "take_floor.sql"),
    "a constant that is none of the two": (
        "CREATE OR REPLACE FUNCTION lock_granularity() RETURNS varchar LANGUAGE sql IMMUTABLE "
        "PARALLEL SAFE AS 'SELECT ''row'''",
        "Function body lock_granularity()",
        "lock_granularity.sql",
    ),
    "no index": ("DROP INDEX messages_id", "Index messages_id", "CREATE UNIQUE INDEX"),
    "another index": (
        "DROP INDEX messages_stream; CREATE INDEX messages_stream ON messages (stream_name)",
        "Index messages_stream",
        "CREATE UNIQUE INDEX",
    ),
    "an invalid index": (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'messages_category'::regclass",
        "Index messages_category",
        'REINDEX INDEX CONCURRENTLY "message_store".messages_category',
    ),
    "a table that a crash empties": (
        "ALTER TABLE messages SET UNLOGGED",
        "Table messages",
        "Create it: table",
    ),
    "a default": ("ALTER TABLE messages ALTER id DROP DEFAULT", "Column messages.id", "DEFAULT"),
    "a column that may be null": (
        "ALTER TABLE messages ALTER type DROP NOT NULL",
        "Column messages.type",
        "NOT NULL",
    ),
    "a constraint": (
        "ALTER TABLE consumer_slots DROP CONSTRAINT consumer_slots_check",
        "Constraint consumer_slots.consumer_slots_check",
        "CHECK",
    ),
    "a sequence with a cache": (
        "ALTER SEQUENCE messages_global_position_seq CACHE 20",
        "Sequence messages_global_position_seq",
        "CACHE 1",
    ),
    "no view": ("DROP VIEW type_summary", "View type_summary", "mdb upgrade"),
    "another view": (
        "DROP VIEW type_summary; CREATE VIEW type_summary AS SELECT 1 AS message_count",
        "Column type_summary.message_count",
        "bigint",
    ),
    "no table": ("DROP TABLE dead_letters", "Table dead_letters", "mdb upgrade"),
    "an older revision": (
        "UPDATE mdb_sqla_version SET version_num = 'message_store_0001'",
        "Revisions",
        "mdb upgrade",
    ),
    "a table that is not complete": (
        "ALTER TABLE messages DROP COLUMN id",
        "Column messages.id",
        "mdb upgrade",
    ),
    "a gap in a stream": (
        "DELETE FROM messages WHERE stream_name = 'account-1' AND position = 1",
        "Stream account-1",
        "restore",
    ),
    "a stream that begins late": ("DELETE FROM messages WHERE position = 0", "Stream", "restore"),
    "global positions out of order": (
        "ALTER SEQUENCE messages_global_position_seq RESTART 1000; " + GLOBAL,
        "Stream account-1",
        "restore",
    ),
    "a sequence that is behind": (
        "ALTER SEQUENCE messages_global_position_seq RESTART 1",
        "Sequence message_store.messages_global_position_seq",
        "SELECT setval('message_store.messages_global_position_seq', 6);",
    ),
    "an id that two have": (
        "DROP INDEX messages_id; UPDATE messages SET id = gen_random_uuid();"
        "UPDATE messages SET id = '5f4ffd9f-7ba5-4ae4-b7ef-9d5b4b1a30d5' WHERE position = 0",
        "Id 5f4ffd9f-7ba5-4ae4-b7ef-9d5b4b1a30d5",
        "Delete all but one",
    ),
    "a consumer from another time": (
        "INSERT INTO consumer_slots (consumer, slot, slots, position) VALUES ('billing', 0, 1, 7)",
        "Consumer billing, slot 0",
        "would skip",
    ),
}


@pytest.fixture
def filled(engine: Engine) -> Engine:
    with engine.begin() as connection:
        store = MessageStore(connection)
        for number in range(6):
            store.write(f"account-{number % 2}", Message("T"))
    return engine


@pytest.fixture
def with_role(filled: Engine) -> Engine:
    migrations.upgrade(filled, roles=True)
    return filled


@pytest.fixture(scope="module")
def somebody(databases: Databases) -> Iterator[str]:
    """A role that has nothing to do with the store."""
    name = f"mdb_sqla Somebody {os.getpid()}"
    databases.execute(f'CREATE ROLE "{name}"')
    yield name
    databases.execute(f'DROP ROLE "{name}"')


def run(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL search_path = message_store"))
        connection.exec_driver_sql(statement)


def wheres(told: Verification) -> list[str]:
    return [each.where for each in told.differences]


@pytest.mark.parametrize("granularity", ["category", "stream"])
def test_a_sound_store(with_role: Engine, granularity: str) -> None:
    set_lock_granularity(with_role, granularity)

    found = verify(with_role)

    assert found.differences == []
    assert found.left_out == []
    assert "6 messages" in found.checked[-1]


@pytest.mark.parametrize("breakage", BROKEN)
def test_a_broken_store(filled: Engine, breakage: str) -> None:
    statement, where, remedy = BROKEN[breakage]
    run(filled, statement)

    found = verify(filled)

    (difference, *_) = [each for each in found.differences if each.where.startswith(where)]
    assert remedy in difference.remedy
    assert difference.what


@pytest.mark.parametrize(
    ("statement", "where", "remedy"),
    [
        (
            "REVOKE INSERT ON messages FROM message_store",
            "Table messages",
            'GRANT INSERT ON TABLE "message_store".messages TO message_store;',
        ),
        (
            "REVOKE EXECUTE ON FUNCTION write_messages FROM message_store, PUBLIC",
            "Function write_messages(",
            "GRANT EXECUTE ON FUNCTION",
        ),
        (
            "REVOKE EXECUTE ON FUNCTION take_floor FROM PUBLIC",
            "Function take_floor()",
            "TO PUBLIC;",
        ),
        (
            "REVOKE USAGE ON SCHEMA message_store FROM message_store",
            "Schema",
            'GRANT USAGE ON SCHEMA "message_store" TO message_store;',
        ),
        (
            "GRANT DELETE ON messages TO message_store",
            "Table messages",
            'REVOKE DELETE ON TABLE "message_store".messages FROM message_store;',
        ),
        (
            "REVOKE INSERT (data) ON messages FROM message_store_writer",
            "Column messages.data",
            'GRANT INSERT (data) ON TABLE "message_store".messages TO message_store_writer;',
        ),
        (
            "GRANT UPDATE (data) ON messages TO message_store_writer",
            "Column messages.data",
            'REVOKE UPDATE (data) ON TABLE "message_store".messages FROM message_store_writer;',
        ),
        (
            'GRANT UPDATE ON messages TO "SOMEBODY"',
            "Table messages",
            'REVOKE UPDATE ON TABLE "message_store".messages FROM "SOMEBODY";',
        ),
        (
            'GRANT UPDATE (data) ON messages TO "SOMEBODY"',
            "Column messages.data",
            'REVOKE UPDATE (data) ON TABLE "message_store".messages FROM "SOMEBODY";',
        ),
        (
            'GRANT TRIGGER ON messages TO "SOMEBODY"',
            "Table messages",
            'REVOKE TRIGGER ON TABLE "message_store".messages FROM "SOMEBODY";',
        ),
        (
            'GRANT UPDATE ON SEQUENCE messages_global_position_seq TO "SOMEBODY"',
            "Sequence messages_global_position_seq",
            "REVOKE UPDATE ON SEQUENCE",
        ),
        (
            "GRANT CREATE ON SCHEMA message_store TO PUBLIC",
            "Schema",
            'REVOKE CREATE ON SCHEMA "message_store" FROM PUBLIC;',
        ),
        (
            "REVOKE SELECT ON SEQUENCE messages_global_position_seq FROM message_store",
            "Sequence messages_global_position_seq",
            "GRANT SELECT ON SEQUENCE",
        ),
    ],
)
def test_privileges(
    with_role: Engine, somebody: str, statement: str, where: str, remedy: str
) -> None:
    run(with_role, statement.replace("SOMEBODY", somebody))

    (difference,) = verify(with_role, quick=True).differences

    assert difference.where.startswith(where)
    assert remedy.replace("SOMEBODY", somebody) in difference.remedy
    run(with_role, difference.remedy)
    assert verify(with_role, quick=True).differences == []


def test_what_its_owner_has_added_is_no_difference(filled: Engine) -> None:
    run(filled, "CREATE INDEX messages_type ON messages (type)")
    run(filled, "CREATE VIEW busy AS SELECT * FROM stream_summary")
    run(filled, "ALTER TABLE messages SET (autovacuum_enabled = off)")
    run(filled, "CREATE FUNCTION own() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    run(filled, "ALTER TABLE messages ADD CONSTRAINT typed CHECK (type <> '')")

    assert verify(filled).differences == []


@pytest.mark.parametrize("schema", ["message_store", "My 'Ev\"ents"])
def test_a_schema_that_was_renamed(empty_database: URL, schema: str) -> None:
    engine = create_engine(empty_database, poolclass=NullPool)
    migrations.upgrade(engine, schema=schema)
    name = '"' + schema.replace('"', '""') + '"'
    with engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER SCHEMA {name} RENAME TO events")

    (difference,) = verify(engine, schema="events").differences

    assert difference.where == "Schema"
    assert f"still refer to {name}" in difference.what
    with engine.begin() as connection:
        connection.exec_driver_sql(difference.remedy)
    assert verify(engine, schema=schema).differences == []


# How PostgreSQL writes what it is compared with, and how text is read.
@pytest.mark.parametrize(
    "setting",
    [
        "quote_all_identifiers = on",
        "DateStyle = 'German, DMY'",
        "IntervalStyle = sql_standard",
        "bytea_output = escape",
        "extra_float_digits = -15",
        "standard_conforming_strings = off",
        "xmloption = document",
        "search_path = message_store, public",
    ],
)
def test_settings_of_the_database(with_role: Engine, setting: str) -> None:
    run(with_role, f'ALTER DATABASE "{with_role.url.database}" SET {setting}')
    with_role.dispose()

    assert verify(with_role).differences == []


def test_nothing_is_changed(filled: Engine) -> None:
    before = catalog(filled.url)

    verify(filled)

    assert catalog(filled.url) == before


def test_a_quick_one_does_not_read_the_messages(filled: Engine) -> None:
    run(filled, "DELETE FROM messages WHERE position = 1")

    quick = verify(filled, quick=True)

    assert quick.differences == []
    assert "quick" in quick.left_out[-1]
    assert wheres(verify(filled)) == ["Stream account-0", "Stream account-1"]


@pytest.mark.parametrize("schema", ["events", 'My "events"', "s", "messages", "o'brien", "100 %"])
def test_another_schema(empty_database: URL, schema: str) -> None:
    engine = create_engine(empty_database, poolclass=NullPool)
    migrations.upgrade(engine, schema=schema)

    assert verify(engine, schema=schema).differences == []
    with pytest.raises(StoreNotInstalled):
        verify(engine)


def test_a_schema_whose_name_others_end_like() -> None:
    assert schema_structure.unqualified("s.f(messages.id)", ["s."]) == "f(messages.id)"


@pytest.fixture
def reader(databases: Databases, filled: Engine) -> Iterator[Engine]:
    """Someone who may read the messages, and create nothing but temporary tables."""
    name = f"mdb_sqla_verifier_{os.getpid()}"
    databases.execute(f"CREATE ROLE {name} LOGIN")
    run(filled, f"GRANT USAGE ON SCHEMA message_store TO {name}")
    run(filled, f"GRANT SELECT ON messages, consumer_slots TO {name}")
    run(filled, f"GRANT SELECT ON stream_heads, deleted_positions TO {name}")
    run(filled, f"GRANT SELECT ON messages_global_position_seq TO {name}")
    yield create_engine(filled.url.set(username=name), poolclass=NullPool)
    run(filled, f"DROP OWNED BY {name}")
    databases.execute(f"DROP ROLE {name}")


def test_who_may_only_read(reader: Engine, filled: Engine) -> None:
    assert verify(reader).differences == []
    run(filled, "ALTER FUNCTION category VOLATILE")
    assert wheres(verify(reader)) == ["Function category(stream_name character varying)"]


def test_who_may_only_read_compares_privileges(reader: Engine, with_role: Engine) -> None:
    run(with_role, "REVOKE INSERT ON messages FROM message_store")
    # The version table is its owner's to read; so what was granted has to tell.
    assert wheres(verify(reader, quick=True)) == ["Table messages"]


def test_who_may_make_no_temporary_tables(reader: Engine, filled: Engine) -> None:
    database = filled.url.database
    run(filled, f'REVOKE TEMPORARY ON DATABASE "{database}" FROM PUBLIC')

    found = verify(reader)

    assert "temporary tables" in found.left_out[0]
    assert found.differences == []
    assert "6 messages" in found.checked[-1]


def test_a_read_only_connection_reads_the_messages(filled: Engine) -> None:
    run(filled, "DELETE FROM messages WHERE position = 1")
    read_only = filled.execution_options(postgresql_readonly=True)

    found = verify(read_only)

    assert "read-only" in found.left_out[0]
    assert wheres(found) == ["Stream account-0", "Stream account-1"]


def test_the_command(with_role: Engine) -> None:
    sound = mdb("verify", url=with_role.url).stdout
    assert sound.endswith("No problems found.\n")
    assert told("verify", "--quick", url=with_role.url)["differences"] == []

    run(with_role, "DROP INDEX messages_category")
    broken = mdb("verify", "--quick", url=with_role.url, code=1)
    assert "1 problem." in broken.stdout
    assert "Index messages_category: is missing" in broken.stderr
    (difference,) = told("verify", url=with_role.url, code=1)["differences"]
    assert difference["where"] == "Index messages_category"


def test_no_store(empty_database: URL) -> None:
    assert "no message store" in mdb("verify", url=empty_database, code=1).stderr
