"""Whoever could use the original's store can use it after the adoption, and nobody else."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from sqlalchemy import URL

from mdb_sqla import migrations
from tests.migrations.catalog import Catalog, catalog
from tests.migrations.conftest import connected, engine_of

PRIVILEGES = {"schemas": 2, "relations": 9, "functions": 3, "types": 4}
"""The sections of a catalog that have privileges, and where in the row; the owner is beside it."""

LAST = "get_last_stream_message(character varying"


def privileges(of: Catalog) -> dict[tuple[str, str, str], Any]:
    found = {}
    for section, column in PRIVILEGES.items():
        for row in of[section]:
            # The same function in either version.
            name = row[1].replace(f"{LAST},character varying)", f"{LAST})")
            found[section, row[0], name] = row[column]
    return found


def assert_kept(before: Catalog, after: Catalog) -> None:
    kept = privileges(after)
    for name, granted in privileges(before).items():
        assert kept[name] == granted, name


def test_grants_are_kept(original: URL) -> None:
    before = catalog(original)

    migrations.upgrade(engine_of(original))

    assert_kept(before, catalog(original))


@pytest.mark.parametrize(
    "statement",
    [
        "REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA message_store FROM PUBLIC",
        "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA message_store TO {role}",
        "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA message_store TO {role} WITH GRANT OPTION",
        "REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA message_store FROM PUBLIC, message_store",
        "GRANT ALL ON ALL TABLES IN SCHEMA message_store TO {role}",
    ],
)
@pytest.mark.parametrize("version", ["1.2.6"], indirect=True)
def test_a_changed_grant_is_kept(role: str, original: URL, statement: str) -> None:
    with connected(original) as connection:
        connection.execute(statement.format(role=role).encode())
        before = catalog(original)
        migrations.upgrade(engine_of(original))
        after = catalog(original)

    assert_kept(before, after)


def assert_everything_works(client: psycopg.Connection[tuple[Any, ...]]) -> None:
    client.execute("SET message_store.sql_condition = 'on'")
    client.execute("SELECT write_message(gen_random_uuid()::varchar, 'account-1', 'A', '{}')")
    with pytest.raises(psycopg.Error, match="Wrong expected version: 7"):
        client.execute(
            "SELECT write_message(gen_random_uuid()::varchar, 'account-1', 'A', '{}', NULL, 7)"
        )
    for call in (
        "get_stream_messages('account-1', condition => 'true')",
        "get_category_messages('account', consumer_group_member => 0, consumer_group_size => 1)",
        "get_last_stream_message('account-1')",
        "stream_version('account-1')",
        "acquire_lock('account-1')",
        "message_store_version()",
        "stream_summary",
        "category_type_summary",
    ):
        assert client.execute(f"SELECT * FROM {call}".encode()).fetchall(), call


@pytest.mark.parametrize(
    "hardened",
    [
        "SELECT",
        "REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA message_store FROM PUBLIC",
        "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
    ],
    ids=["open", "hardened", "hardened by default"],
)
def test_the_role_can_do_what_it_could(original: URL, hardened: str) -> None:
    with connected(original) as connection, connected(original, role="message_store") as client:
        connection.execute(hardened.encode())
        assert_everything_works(client)

        migrations.upgrade(engine_of(original))

        assert_everything_works(client)


def test_who_could_not_read_the_last_message_still_can_not(role: str, original: URL) -> None:
    call = "SELECT * FROM get_last_stream_message('account-1')"
    with connected(original) as connection, connected(original, role=role) as client:
        connection.execute("REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA message_store FROM PUBLIC")
        connection.execute(f"GRANT USAGE ON SCHEMA message_store TO {role}".encode())
        connection.execute(f"GRANT SELECT ON message_store.messages TO {role}".encode())
        migrations.upgrade(engine_of(original))

        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            client.execute(call)


def test_nobody_else_may_choose_the_lock_granularity(original_1_3: URL) -> None:
    migrations.upgrade(engine_of(original_1_3))

    with (
        connected(original_1_3, role="message_store") as client,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        client.execute("SELECT set_lock_granularity('stream')")
