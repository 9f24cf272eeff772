"""The store's roles, which are the server's, not the database's."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep

import psycopg
import pytest
from sqlalchemy import URL

from mdb_sqla import migrations
from tests.conftest import Databases
from tests.migrations.catalog import catalog
from tests.migrations.conftest import REVISIONS, ROLE_REVISIONS, ROLES, connected, engine_of


def role_exists(database: URL) -> bool:
    return bool(catalog(database)["role"])


@pytest.fixture
def store_role(no_store_role: None, databases: Databases) -> None:
    for role in ROLES:
        databases.execute(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 7")


@pytest.mark.usefixtures("no_store_role")
def test_it_goes_if_the_upgrade_created_it(empty_database: URL) -> None:
    before = catalog(empty_database)
    engine = engine_of(empty_database)

    assert migrations.upgrade(engine, roles=True) == REVISIONS + ROLE_REVISIONS
    assert role_exists(empty_database)
    assert migrations.downgrade(engine) == [*reversed(REVISIONS + ROLE_REVISIONS)]

    assert catalog(empty_database) == before


@pytest.mark.usefixtures("store_role")
@pytest.mark.parametrize("schema", ["message_store", "My 'Ev\"ents% :x"])
@pytest.mark.parametrize(
    "more", ["SELECT", "CREATE SCHEMA other; GRANT USAGE ON SCHEMA other TO message_store"]
)
def test_it_stays_if_it_was_there(empty_database: URL, schema: str, more: str) -> None:
    with connected(empty_database) as connection:
        connection.execute(more.encode())
    before = catalog(empty_database)
    engine = engine_of(empty_database)

    migrations.upgrade(engine, roles=True, schema=schema)
    assert catalog(empty_database)["role"] == before["role"]
    migrations.downgrade(engine, schema=schema)

    assert catalog(empty_database) == before


@pytest.mark.usefixtures("no_store_role")
def test_it_stays_as_long_as_another_database_needs_it(
    empty_database: URL, databases: Databases
) -> None:
    with databases.create() as another:
        migrations.upgrade(engine_of(empty_database), roles=True)
        migrations.upgrade(engine_of(another), roles=True)

        migrations.downgrade(engine_of(empty_database))
        assert role_exists(another)
        migrations.downgrade(engine_of(another))
        assert not role_exists(another)


@pytest.mark.usefixtures("no_store_role")
def test_it_stays_if_it_owns_something(empty_database: URL) -> None:
    migrations.upgrade(engine_of(empty_database), roles=True)
    with connected(empty_database) as connection:
        connection.execute("CREATE SCHEMA theirs AUTHORIZATION message_store")

        migrations.downgrade(engine_of(empty_database))

        assert role_exists(empty_database)
        connection.execute("DROP SCHEMA theirs")


@pytest.mark.usefixtures("no_store_role")
def test_it_stays_as_long_as_it_has_a_member(empty_database: URL, databases: Databases) -> None:
    engine = engine_of(empty_database)
    migrations.upgrade(engine, roles=True)
    shop = f"mdb_sqla_test_shop_{os.getpid()}"
    databases.execute(f"CREATE ROLE {shop} IN ROLE message_store_writer")

    migrations.downgrade(engine)
    left = [row[0] for row in catalog(empty_database)["role"]]
    databases.execute(f"DROP ROLE {shop}")

    assert left == ["message_store_writer"]
    migrations.upgrade(engine, roles=True)
    migrations.downgrade(engine)
    assert not role_exists(empty_database)


@pytest.mark.usefixtures("no_store_role")
def test_it_can_come_later(empty_database: URL) -> None:
    engine = engine_of(empty_database)
    before = catalog(empty_database)

    migrations.upgrade(engine)
    assert not role_exists(empty_database)
    assert migrations.upgrade(engine, roles=True) == ROLE_REVISIONS
    with_role = catalog(empty_database)
    assert migrations.upgrade(engine) == []
    assert catalog(empty_database) == with_role

    migrations.downgrade(engine)
    assert catalog(empty_database) == before


@pytest.mark.usefixtures("no_store_role")
def test_it_needs_nothing_that_public_has(empty_database: URL) -> None:
    with connected(empty_database) as connection:
        connection.execute("ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC")
        migrations.upgrade(engine_of(empty_database), roles=True)

    with connected(empty_database, role="message_store") as client:
        client.execute("SELECT write_message(gen_random_uuid()::varchar, 'a-1', 'A', '{}')")
        client.execute("SET message_store.sql_condition = 'on'")
        client.execute("SELECT * FROM get_category_messages('a', condition => 'true')")
        with pytest.raises(psycopg.Error, match="Wrong expected version"):
            client.execute(
                "SELECT write_message(gen_random_uuid()::varchar, 'a-1', 'A', '{}', NULL, 7)"
            )


@pytest.mark.usefixtures("no_store_role")
def test_two_databases_may_ask_for_it_at_once(empty_database: URL, databases: Databases) -> None:
    with databases.create() as another, ThreadPoolExecutor() as pool:
        with engine_of(empty_database).begin() as first:
            migrations.upgrade(first, roles=True)
            second = pool.submit(lambda: migrations.upgrade(engine_of(another), roles=True))
            wait_until_it_waits(another)

        assert second.result() == REVISIONS + ROLE_REVISIONS
        migrations.downgrade(engine_of(another))


def wait_until_it_waits(database: URL) -> None:
    deadline = monotonic() + 10
    query = """
        SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'
    """
    with connected(database) as connection:
        while not connection.execute(query).rowcount:
            assert monotonic() < deadline
            sleep(0.01)
