"""`--sql` prints a script that psql runs, and that does what Alembic would have done."""

from __future__ import annotations

from io import StringIO

import pytest
from sqlalchemy import URL

from mdb_sqla import migrations
from tests.conftest import Databases
from tests.migrations.catalog import catalog
from tests.migrations.conftest import Originals, connected, contents, engine_of
from tests.migrations.two_heads.application import (
    ROLE,
    Application,
    ScriptFailedError,
    run_script,
)

WRITE = "SELECT write_message(gen_random_uuid()::varchar, 'a-1', 'A', '{}')"


@pytest.mark.parametrize(
    ("schema", "configure"),
    [
        ("message_store", {}),
        ("message_store", {"dialect_opts": {"paramstyle": "named"}}),
        ("message_store", {"transaction_per_migration": True}),
        ("My 'Ev\"ents% :x", {}),
        ("My 'Ev\"ents% :x", {"dialect_opts": {"paramstyle": "named"}}),
    ],
    ids=str,
)
def test_the_script_does_the_same(
    application: Application, databases: Databases, schema: str, configure: dict[str, object]
) -> None:
    application.options["message_store_schema"] = schema
    application.configure |= configure
    application.locations.append(ROLE)
    script = application.upgrade_script()
    with databases.create() as by_script:
        run_script(by_script, script)

        application.upgrade()

        assert catalog(by_script) == catalog(application.database)


def test_the_script_adopts(
    application: Application, databases: Databases, originals: Originals, version: str
) -> None:
    script = application.upgrade_script()
    template = originals(version)
    with databases.create(template) as by_script, databases.create(template) as by_alembic:
        before = contents(by_script)
        run_script(by_script, script)
        assert contents(by_script) == before

        application.database = by_alembic
        application.upgrade()

        assert catalog(by_script) == catalog(by_alembic)


def test_the_script_refuses(application: Application, original_1_3: URL) -> None:
    with connected(original_1_3) as connection:
        connection.execute("ALTER TABLE messages ADD tenant text")
    before = catalog(original_1_3)

    with pytest.raises(ScriptFailedError, match="column tenant is text"):
        run_script(original_1_3, application.upgrade_script())

    assert catalog(original_1_3) == before


def test_the_way_back(application: Application) -> None:
    application.upgrade()
    with connected(application.database) as connection:
        connection.execute(WRITE)
    before = catalog(application.database)

    with pytest.raises(ScriptFailedError, match=r"messages \(1\)"):
        run_script(application.database, application.downgrade_script())
    assert catalog(application.database) == before

    run_script(application.database, application.downgrade_script(delete_messages="yes"))
    assert [row[0] for row in catalog(application.database)["schemas"]] == ["public"]


@pytest.mark.parametrize(("schema", "role"), [("message_store", False), ("My 'Ev\"ents% :x", True)])
def test_the_script_of_migrate(
    empty_database: URL, databases: Databases, schema: str, role: bool
) -> None:
    script = StringIO()
    migrations.write_upgrade_script(script, schema=schema, roles=role)
    with databases.create() as by_script:
        run_script(by_script, script.getvalue())

        migrations.upgrade(engine_of(empty_database), schema=schema, roles=role)

        assert catalog(by_script) == catalog(empty_database)
        assert migrations.upgrade(engine_of(by_script), schema=schema, roles=role) == []
