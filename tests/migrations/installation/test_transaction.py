from __future__ import annotations

import pytest
from sqlalchemy import URL, text

from mdb_sqla import DataExists, UnrecognizedStore, migrations
from tests.migrations.catalog import catalog
from tests.migrations.conftest import REVISIONS, connected, engine_of


def test_a_rollback_undoes_an_upgrade(empty_database: URL) -> None:
    before = catalog(empty_database)

    with engine_of(empty_database).connect() as connection:
        transaction = connection.begin()
        connection.execute(text("CREATE TABLE orders (id int)"))
        migrations.upgrade(connection)
        assert connection.in_transaction()
        connection.execute(
            text("SELECT message_store.write_message(gen_random_uuid()::text, 'a-1', 'A', '{}')")
        )
        transaction.rollback()

    assert catalog(empty_database) == before


def test_a_commit_keeps_it_with_what_came_before(empty_database: URL, template: URL) -> None:
    with engine_of(empty_database).begin() as connection:
        connection.execute(text("CREATE TABLE orders (id int)"))
        migrations.upgrade(connection)
        connection.execute(text("DROP TABLE orders"))

    assert catalog(empty_database) == catalog(template)


def test_without_a_transaction_it_is_one(empty_database: URL, template: URL) -> None:
    with engine_of(empty_database).connect() as connection:
        migrations.upgrade(connection)
        assert not connection.in_transaction()

    assert catalog(empty_database) == catalog(template)


def test_a_rollback_undoes_a_downgrade(database: URL) -> None:
    before = catalog(database)

    with engine_of(database).connect() as connection:
        transaction = connection.begin()
        migrations.downgrade(connection)
        assert not connection.scalar(text("SELECT to_regnamespace('message_store')"))
        transaction.rollback()

    assert catalog(database) == before


def test_in_a_savepoint(empty_database: URL) -> None:
    with engine_of(empty_database).connect() as connection:
        connection.begin()
        savepoint = connection.begin_nested()
        migrations.upgrade(connection)
        savepoint.rollback()
        assert migrations.upgrade(connection) == REVISIONS
        connection.execute(
            text("SELECT message_store.write_message(gen_random_uuid()::text, 'a-1', 'A', '{}')")
        )
        savepoint = connection.begin_nested()
        with pytest.raises(DataExists):
            migrations.downgrade(connection)
        savepoint.rollback()
        migrations.downgrade(connection, delete_messages=True)


def test_a_store_of_another_history_is_left_to_it(database: URL) -> None:
    with connected(database) as connection:
        connection.execute("DROP TABLE mdb_sqla_version")
    before = catalog(database)

    with pytest.raises(UnrecognizedStore, match="managed by mdb_sqla already"):
        migrations.upgrade(engine_of(database))

    assert catalog(database) == before


def test_an_engine_in_autocommit_mode_gets_one_too(original_1_3: URL) -> None:
    with connected(original_1_3) as connection:
        connection.execute("ALTER TABLE messages ADD tenant text")
    before = catalog(original_1_3)

    with pytest.raises(UnrecognizedStore):
        migrations.upgrade(engine_of(original_1_3).execution_options(isolation_level="AUTOCOMMIT"))

    assert catalog(original_1_3) == before
