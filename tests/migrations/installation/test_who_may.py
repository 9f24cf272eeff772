"""Roles that are no superusers and may not create roles."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import URL, Engine, event

from mdb_sqla import NotPermitted, migrations
from tests.conftest import Databases
from tests.migrations.catalog import catalog
from tests.migrations.conftest import ROLES, connected, engine_of


def engine_as(role: str, database: URL) -> Engine:
    """An engine that is used by a role, whether or not the server lets it log in from here."""
    engine = engine_of(database)

    @event.listens_for(engine, "connect")
    def become(connection: Any, _: object) -> None:
        connection.execute(f"SET SESSION AUTHORIZATION {role}")
        connection.commit()

    return engine


def round_trip(database: URL, role: str, schema: str) -> None:
    before = catalog(database)
    engine = engine_as(role, database)

    migrations.upgrade(engine, schema=schema)
    with connected(database, schema, role=role) as client:
        client.execute("SELECT write_message(gen_random_uuid()::varchar, 'a-1', 'A', '{}')")
        client.execute("SELECT set_lock_granularity('category')")
    migrations.downgrade(engine, schema=schema, delete_messages=True)

    assert catalog(database) == before


@pytest.mark.parametrize("schema", ["message_store", "events"])
def test_the_owner_of_the_database(role: str, empty_database: URL, schema: str) -> None:
    with connected(empty_database) as connection:
        owner = f'ALTER DATABASE "{empty_database.database}" OWNER TO {role}'
        connection.execute(owner.encode())

    round_trip(empty_database, role, schema)


def test_who_may_only_create_in_one_schema(role: str, empty_database: URL) -> None:
    with connected(empty_database) as connection:
        connection.execute("CREATE SCHEMA events")
        connection.execute(f"GRANT USAGE, CREATE ON SCHEMA events TO {role}".encode())

    round_trip(empty_database, role, "events")


@pytest.mark.usefixtures("no_store_role")
@pytest.mark.parametrize("asked_for_role", [False, True])
def test_who_may_not_changes_nothing(role: str, empty_database: URL, asked_for_role: bool) -> None:
    with connected(empty_database) as connection:
        connection.execute("CREATE SCHEMA events")
        connection.execute(f"GRANT USAGE ON SCHEMA events TO {role}".encode())
        if asked_for_role:
            connection.execute(f"GRANT CREATE ON SCHEMA events TO {role}".encode())
    before = catalog(empty_database)

    with pytest.raises(NotPermitted, match="permission denied"):
        migrations.upgrade(engine_as(role, empty_database), schema="events", roles=asked_for_role)

    assert catalog(empty_database) == before


@pytest.mark.usefixtures("no_store_role")
def test_roles_that_exist_need_no_right_to_create_roles(
    role: str, databases: Databases, empty_database: URL
) -> None:
    for name in ROLES:
        databases.execute(f"CREATE ROLE {name} LOGIN")
    with connected(empty_database) as connection:
        connection.execute(f"CREATE SCHEMA events AUTHORIZATION {role}".encode())
    before = catalog(empty_database)
    engine = engine_as(role, empty_database)

    migrations.upgrade(engine, schema="events", roles=True)
    with connected(empty_database, "events", role="message_store") as client:
        client.execute("SELECT write_message(gen_random_uuid()::varchar, 'a-1', 'A', '{}')")
    migrations.downgrade(engine, schema="events", delete_messages=True)

    assert catalog(empty_database) == before


@pytest.mark.usefixtures("no_store_role")
def test_who_may_not_create_roles_is_told_which(
    role: str, databases: Databases, empty_database: URL
) -> None:
    databases.execute("CREATE ROLE message_store LOGIN")
    with connected(empty_database) as connection:
        connection.execute(f"CREATE SCHEMA events AUTHORIZATION {role}".encode())

    with pytest.raises(NotPermitted, match="create role message_store_reader") as denied:
        migrations.upgrade(engine_as(role, empty_database), schema="events", roles=True)

    assert "CREATE ROLE message_store_consumer;" in str(denied.value)


@pytest.mark.usefixtures("no_store_role")
def test_who_may_create_roles(role: str, databases: Databases, empty_database: URL) -> None:
    databases.execute(f"ALTER ROLE {role} CREATEROLE")
    with connected(empty_database) as connection:
        connection.execute(f"CREATE SCHEMA events AUTHORIZATION {role}".encode())
    before = catalog(empty_database)
    engine = engine_as(role, empty_database)

    migrations.upgrade(engine, schema="events", roles=True)
    migrations.downgrade(engine, schema="events")

    assert catalog(empty_database) == before


def test_the_owner_of_a_store_of_the_original_adopts_it(role: str, original: URL) -> None:
    with connected(original) as connection:
        connection.execute(f"ALTER SCHEMA message_store OWNER TO {role}".encode())
        for kind, name in connection.execute(
            """
            SELECT 'ROUTINE', oid::regprocedure::text FROM pg_proc
            WHERE pronamespace = 'message_store'::regnamespace
            UNION ALL
            SELECT 'TABLE', oid::regclass::text FROM pg_class
            WHERE relnamespace = 'message_store'::regnamespace AND relkind IN ('r', 'v')
            UNION ALL SELECT 'TYPE', 'message'
            """
        ).fetchall():
            connection.execute(f"ALTER {kind} {name} OWNER TO {role}".encode())

    migrations.upgrade(engine_as(role, original))

    with connected(original, role="message_store") as client:
        client.execute("SELECT write_message(gen_random_uuid()::varchar, 'a-1', 'A', '{}')")


def test_who_does_not_own_a_store_of_the_original_does_not_adopt_it(
    role: str, original_1_3: URL
) -> None:
    with connected(original_1_3) as connection:
        connection.execute(f"GRANT USAGE, CREATE ON SCHEMA message_store TO {role}".encode())
    before = catalog(original_1_3)

    with pytest.raises(NotPermitted, match=r"must be owner of .* only the owner can install"):
        migrations.upgrade(engine_as(role, original_1_3))

    assert catalog(original_1_3) == before
