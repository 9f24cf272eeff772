"""The one place where text from a caller becomes SQL: what docs/privileges.md says of it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from mdb_sqla import MessageStore
from tests.security.strings import HOSTILE

READS = [
    "get_stream_messages('account-1', condition => :condition)",
    "get_category_messages('account', condition => :condition)",
    "get_messages('{{account}}', condition => :condition)",
    "get_messages(condition => :condition)",
]


@pytest.fixture(autouse=True)
def messages(connection: Connection) -> None:
    write = "SELECT message_store.write_message(gen_random_uuid()::varchar, :name, 'A', '{}')"
    for name in ("account-1", "account-2", "secret-1"):
        connection.execute(text(write), {"name": name})


def activate(connection: Connection) -> None:
    connection.execute(text("SET LOCAL message_store.sql_condition = 'on'"))


def read(connection: Connection, call: str, condition: str) -> list[Any]:
    query = text(
        f"SELECT stream_name FROM message_store.{call.replace('{{', '{').replace('}}', '}')}"
    )
    return list(connection.scalars(query, {"condition": condition}))


@pytest.mark.parametrize("call", READS)
@pytest.mark.parametrize(
    "condition", ["true", "", " ", *HOSTILE], ids=lambda each: ascii(each[:12])
)
def test_it_is_refused_unless_it_was_activated(
    connection: Connection, call: str, condition: str
) -> None:
    with pytest.raises(DBAPIError, match="is not activated"), connection.begin_nested():
        read(connection, call, condition)


def test_the_library_does_not_activate_it(connection: Connection) -> None:
    with pytest.raises(Exception, match="is not activated"), connection.begin_nested():
        MessageStore(connection).read_category("account", condition="true")


@pytest.mark.parametrize("call", READS)
@pytest.mark.parametrize(
    "condition",
    [
        "true); DELETE FROM message_store.messages; SELECT (true",
        "true); DROP TABLE message_store.messages; --",
        "true; SELECT 1",
    ],
)
def test_a_second_statement_is_refused(connection: Connection, call: str, condition: str) -> None:
    activate(connection)

    with pytest.raises(DBAPIError), connection.begin_nested():
        read(connection, call, condition)

    assert connection.scalar(text("SELECT count(*) FROM message_store.messages")) == 3


@pytest.mark.parametrize("call", READS)
def test_a_subquery_reads_what_the_caller_may_read(connection: Connection, call: str) -> None:
    activate(connection)
    connection.execute(text("CREATE ROLE mdb_sqla_reader_of_the_test"))
    for grant in (
        "USAGE ON SCHEMA message_store",
        "SELECT ON message_store.messages",
        "SELECT ON SEQUENCE message_store.messages_global_position_seq",
    ):
        connection.execute(text(f"GRANT {grant} TO mdb_sqla_reader_of_the_test"))
    connection.execute(text("SET LOCAL ROLE mdb_sqla_reader_of_the_test"))

    assert read(connection, call, "EXISTS (SELECT FROM message_store.messages)")
    for forbidden in ("pg_authid", "message_store.consumers"):
        with pytest.raises(DBAPIError, match="permission denied"), connection.begin_nested():
            read(connection, call, f"EXISTS (SELECT FROM {forbidden})")


def test_a_parenthesis_gives_messages_of_other_streams(connection: Connection) -> None:
    activate(connection)

    assert len(read(connection, READS[0], "true) OR (true")) == 3


def test_it_finds_what_the_caller_finds(connection: Connection) -> None:
    """Names in a condition are looked up on the caller's own search path, as in Message DB."""
    activate(connection)
    connection.execute(text("CREATE FUNCTION public.wanted(text) RETURNS bool RETURN $1 ~ '-2$'"))

    assert read(connection, READS[1], "wanted(stream_name)") == ["account-2"]
