"""What lies beyond what docs/privileges.md says, tried as each role."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from mdb_sqla import Message, MessageStore, NotPermitted
from tests.migrations.conftest import ROLES
from tests.privileges.conftest import MemberOf

ALL = frozenset(ROLES)
WRITERS = ALL - {"message_store_reader"}
CONSUMERS = WRITERS - {"message_store_writer"}
NOBODY: frozenset[str] = frozenset()

INSERT = "INSERT INTO message_store.messages (stream_name, position, type"
STATEMENTS: list[tuple[str, frozenset[str]]] = [
    ("SELECT message_store.write_message(gen_random_uuid()::varchar, 'a-1', 'A', '{}')", WRITERS),
    (
        "SELECT message_store.write_messages(jsonb_build_array(jsonb_build_object("
        "'id', gen_random_uuid(), 'stream_name', 'b-1', 'type', 'A')))",
        WRITERS,
    ),
    (f"{INSERT}) VALUES ('c-1', 0, 'A')", WRITERS),
    (f"{INSERT}, global_position) VALUES ('d-1', 0, 'A', 1000)", frozenset({"message_store"})),
    (f"{INSERT}, time) VALUES ('e-1', 0, 'A', '2001-01-01')", frozenset({"message_store"})),
    ("UPDATE message_store.messages SET data = '{}'", NOBODY),
    ("UPDATE message_store.messages SET type = 'B' WHERE false", NOBODY),
    ("DELETE FROM message_store.messages", NOBODY),
    ("TRUNCATE message_store.messages", NOBODY),
    ("LOCK TABLE message_store.messages IN ACCESS EXCLUSIVE MODE", NOBODY),
    ("SELECT FROM message_store.messages FOR UPDATE", NOBODY),
    ("ALTER TABLE message_store.messages ADD COLUMN other text", NOBODY),
    ("CREATE INDEX ON message_store.messages (type)", NOBODY),
    (
        "CREATE TRIGGER t BEFORE INSERT ON message_store.messages EXECUTE FUNCTION "
        "suppress_redundant_updates_trigger()",
        NOBODY,
    ),
    ("CREATE RULE r AS ON INSERT TO message_store.messages DO INSTEAD NOTHING", NOBODY),
    ("ALTER TABLE message_store.messages ENABLE ROW LEVEL SECURITY", NOBODY),
    ("DROP TABLE message_store.messages", NOBODY),
    ("CREATE TABLE message_store.other ()", NOBODY),
    ("CREATE FUNCTION message_store.f() RETURNS int LANGUAGE sql RETURN 1", NOBODY),
    (
        "CREATE OR REPLACE FUNCTION message_store.hash_64(value varchar) RETURNS bigint "
        "LANGUAGE sql IMMUTABLE RETURN 1",
        NOBODY,
    ),
    ("ALTER FUNCTION message_store.hash_64(varchar) SECURITY DEFINER", NOBODY),
    ("DROP SCHEMA message_store CASCADE", NOBODY),
    ("SELECT nextval('message_store.messages_global_position_seq')", WRITERS),
    ("SELECT setval('message_store.messages_global_position_seq', 1)", NOBODY),
    ("ALTER SEQUENCE message_store.messages_global_position_seq RESTART", NOBODY),
    ("SELECT message_store.set_lock_granularity('stream')", NOBODY),
    ("SELECT version_num FROM message_store.mdb_sqla_version", NOBODY),
    ("UPDATE message_store.consumer_slots SET position = 0", CONSUMERS),
    ("DELETE FROM message_store.consumer_slots", frozenset({"message_store"})),
    ("DELETE FROM message_store.consumer_members", CONSUMERS),
    ("DELETE FROM message_store.dead_letters", CONSUMERS),
    ("UPDATE message_store.consumers SET start = 0", CONSUMERS),
    ("DELETE FROM message_store.consumers", frozenset({"message_store"})),
    ("TRUNCATE message_store.consumer_slots", NOBODY),
    ("SET ROLE message_store_consumer", frozenset({"message_store_consumer"})),
    ("CREATE ROLE other", NOBODY),
]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("statement", "allowed"), STATEMENTS)
def test_statements(
    member_of: MemberOf, role: str, statement: str, allowed: frozenset[str]
) -> None:
    with member_of(role).connect() as connection:
        expected: AbstractContextManager[Any] = (
            nullcontext() if role in allowed else pytest.raises(DBAPIError)
        )
        with expected as refusal:
            connection.exec_driver_sql(statement)
        connection.rollback()

    if refusal is not None:
        assert isinstance(refusal.value.orig, psycopg.errors.InsufficientPrivilege)


def test_a_grant_without_the_option_gives_nothing_away(member_of: MemberOf) -> None:
    """PostgreSQL says so with a warning only."""
    with member_of("message_store_writer").connect() as connection:
        connection.exec_driver_sql("GRANT INSERT ON message_store.messages TO message_store_reader")
        connection.commit()

    with (
        member_of("message_store_reader").connect() as connection,
        pytest.raises(
            NotPermitted, match=r"permission denied for .*messages?.*message_store_writer"
        ),
    ):
        MessageStore(connection).write("account-1", Message("Opened"))
