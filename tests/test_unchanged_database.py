"""A database that a test has changed is not given to the next one."""

from __future__ import annotations

import pytest
from sqlalchemy import NullPool, create_engine, text

from mdb_sqla import Message, MessageStore, admin
from tests.unchanged_database import UnchangedDatabase

CHANGES = [
    "CREATE TABLE public.orders ()",
    "DROP SCHEMA message_store CASCADE",
    "DROP FUNCTION message_store.message_store_version",
    "GRANT SELECT ON message_store.messages TO PUBLIC",
    "ALTER TABLE message_store.messages SET (fillfactor = 90)",
    "CREATE OR REPLACE FUNCTION message_store.is_category(stream_name varchar) RETURNS boolean "
    "LANGUAGE sql IMMUTABLE RETURN true",
    "ALTER SEQUENCE message_store.messages_global_position_seq CYCLE",
    "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = 1024', current_database()); "
    "END $$",
    "ANALYZE message_store.messages",
    "COMMENT ON TABLE message_store.messages IS 'changed'",
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_found(unchanged_database: UnchangedDatabase, change: str) -> None:
    url = unchanged_database.take()
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        with connection.begin():
            MessageStore(connection).write("account-1", Message("Opened"))
        connection.execute(text(change))
    unchanged_database.give_back()

    assert unchanged_database.take() != url


def test_messages_are_no_change(unchanged_database: UnchangedDatabase) -> None:
    url = unchanged_database.take()
    engine = create_engine(url, poolclass=NullPool)
    for _ in range(2):
        with engine.begin() as connection:
            store = MessageStore(connection)
            assert store.write("account-1", Message("Opened")) == 0
            assert [each.global_position for each in store.read_messages()] == [1]
            admin.record_operation(connection, "verify")
            assert [each.id for each in admin.operations(connection)] == [1]
        unchanged_database.give_back()
        assert unchanged_database.take() == url
