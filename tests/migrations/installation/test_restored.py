"""A store that was restored without its rows, or whose schema has another name."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import pytest
from sqlalchemy import URL, select

from mdb_sqla import Message, StoreNotInstalled, UnrecognizedStore, migrations
from mdb_sqla.admin.verification import verify
from mdb_sqla.tables import consumers
from tests.conftest import Databases, Flavour
from tests.migrations.catalog import catalog
from tests.migrations.conftest import REVISIONS, ROLE_REVISIONS, connected, engine_of
from tests.migrations.two_heads.application import run_script
from tests.side_by_side.message_db import conninfo


def schema_of(database: URL) -> str:
    with connected(database) as connection:
        row = connection.execute("SELECT setting FROM pg_config WHERE name = 'BINDIR'").fetchone()
    pg_dump = shutil.which("pg_dump", path=row[0] if row else None) or shutil.which("pg_dump")
    if pg_dump is None:
        pytest.skip("pg_dump is not installed")
    done = subprocess.run(
        [pg_dump, "--schema-only", "-d", conninfo(database)], capture_output=True, check=True
    )
    return done.stdout.decode()


def test_a_dump_of_the_schema_alone(database: URL, template: URL, databases: Databases) -> None:
    with databases.create() as restored:
        run_script(restored, schema_of(database))

        assert migrations.upgrade(engine_of(restored)) == []

        assert catalog(restored) == catalog(template)
        assert verify(engine_of(restored)).differences == []


def test_its_roles_are_granted_anew(database: URL, databases: Databases) -> None:
    migrations.upgrade(engine_of(database), roles=True)
    with databases.create() as restored:
        run_script(restored, schema_of(database))

        assert migrations.upgrade(engine_of(restored), roles=True) == ROLE_REVISIONS

        assert catalog(restored) == catalog(database)


def test_verify_says_what_mends_it(database: URL) -> None:
    with connected(database) as connection:
        connection.execute("DELETE FROM mdb_sqla_version")

    (difference,) = verify(engine_of(database)).differences

    assert difference.where == "Revisions"
    assert "mdb upgrade" in difference.remedy
    migrations.upgrade(engine_of(database))
    assert verify(engine_of(database)).differences == []


def test_a_schema_that_was_renamed_is_not_upgraded(database: URL) -> None:
    with connected(database) as connection:
        connection.execute("ALTER SCHEMA message_store RENAME TO events")

    what = r'"events" was renamed.*"message_store"'
    with pytest.raises(UnrecognizedStore, match=what) as refused:
        migrations.upgrade(engine_of(database), schema="events")

    (hint,) = refused.value.__notes__
    with connected(database) as connection:
        connection.execute(hint.partition(": ")[2].encode())
    assert migrations.upgrade(engine_of(database)) == []


CALLS: dict[str, Any] = {
    "write": lambda store: store.write("account-1", Message("Opened")),
    "stream": lambda store: store.read_stream("account-1"),
    "category": lambda store: store.read_category("account"),
    "version": lambda store: store.version("account-1"),
}


def test_calls_say_that_the_schema_was_renamed(flavour: Flavour) -> None:
    renamed = {"schema_translate_map": {"message_store": "events"}}
    with flavour.connection(**renamed) as connection:
        rename = "ALTER SCHEMA message_store RENAME TO events"
        flavour.run(connection.exec_driver_sql(rename))
        for call in CALLS.values():
            savepoint = connection.begin_nested()
            if flavour.asynchronous:
                flavour.run(savepoint.start())
            with pytest.raises(StoreNotInstalled, match="events of the message store was renamed"):
                flavour.run(call(flavour.store(connection)))
            flavour.run(savepoint.rollback())


def test_a_store_that_is_not_there_was_not_renamed(flavour: Flavour) -> None:
    absent = {"schema_translate_map": {"message_store": "events"}}
    with flavour.connection(**absent) as connection:
        with pytest.raises(StoreNotInstalled, match="is not installed"):
            flavour.run(flavour.store(connection).version("account-1"))
        flavour.run(connection.rollback())
        with pytest.raises(StoreNotInstalled, match="is not installed"):
            flavour.run(flavour.store(connection).write("account-1", Message("Opened")))


@pytest.mark.parametrize(
    "setting", ["quote_all_identifiers = on", "standard_conforming_strings = off"]
)
def test_adoption_whatever_the_settings(original: URL, setting: str) -> None:
    with connected(original) as connection:
        connection.execute(f'ALTER DATABASE "{original.database}" SET {setting}'.encode())
    engine = engine_of(original)

    assert migrations.upgrade(engine) == REVISIONS

    assert verify(engine).differences == []
    with engine.connect() as connection:
        name, value = setting.split(" = ")
        connection.exec_driver_sql(f"SET {name} = {value}")
        migrations.upgrade(connection)
        assert connection.exec_driver_sql(f"SHOW {name}").scalar() == value
        assert connection.execute(select(consumers.c.consumer)).all() == []
