"""One revision of an application installs the store, in whatever way Alembic runs it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import URL, MetaData

from mdb_sqla import MessageStore, StoreNotInstalled, migrations
from mdb_sqla.migrations.store_history import LATEST, VERSIONS
from tests.conftest import Databases
from tests.migrations.catalog import Catalog, catalog
from tests.migrations.conftest import Originals, connected, contents, engine_of
from tests.migrations.one_head.conftest import OneHead
from tests.migrations.two_heads.application import run_script

WRITE = "SELECT write_message(gen_random_uuid()::varchar, 'a-1', 'A', '{}')"
OTHER_SCHEMAS = ["events", "消息 ünï"]


def store_of(database: URL, schema: str = "message_store") -> Catalog:
    found = catalog(database)
    sections = ("relations", "columns", "indexes", "constraints", "functions", "types", "comments")
    return {name: [row for row in found[name] if row[0] == schema] for name in sections}


def versions(database: URL) -> tuple[list[str], list[str]]:
    """What Alembic has recorded for the application, and for the store."""
    with connected(database) as connection:
        rows = [
            connection.execute(f"SELECT version_num FROM {table} ORDER BY 1".encode()).fetchall()
            for table in ("public.alembic_version", "message_store.mdb_sqla_version")
        ]
    return [name for (name,) in rows[0]], [name for (name,) in rows[1]]


WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "transaction_per_migration": {"transaction_per_migration": True},
    "include_schemas": {"include_schemas": True},
    "named parameters": {"dialect_opts": {"paramstyle": "named"}},
}


@pytest.mark.parametrize("way", WAYS)
def test_upgrade_head(application: OneHead, template: URL, way: str) -> None:
    application.configure |= WAYS[way]

    application.upgrade()

    assert store_of(application.database) == store_of(template)
    assert versions(application.database) == (["app_0003"], [f"message_store_{LATEST}"])
    application.check()
    assert application.proposed().count("pass") == 2


def test_naming_conventions_are_the_applications(application: OneHead, template: URL) -> None:
    names = {"pk": "pk_%(table_name)s", "ix": "ix_%(table_name)s_%(column_0_name)s"}
    application.metadata = MetaData(naming_convention=names)

    application.upgrade()

    assert store_of(application.database) == store_of(template)


def test_the_version_table_of_the_application_may_be_in_a_schema(application: OneHead) -> None:
    with connected(application.database) as connection:
        connection.execute("CREATE SCHEMA history")
    application.configure |= {"version_table_schema": "history", "include_schemas": True}

    application.upgrade()
    application.upgrade()
    application.check()
    application.downgrade()

    assert [row[0] for row in catalog(application.database)["schemas"]] == ["history", "public"]


def test_back_and_forth_step_by_step(application: OneHead) -> None:
    application.upgrade()
    before = catalog(application.database)

    for _ in range(2):
        application.downgrade("-1")
    assert "message_store" not in {row[0] for row in catalog(application.database)["schemas"]}
    application.upgrade("+1")
    application.upgrade("+1")

    assert catalog(application.database) == before


@pytest.mark.parametrize("per_migration", [False, True])
def test_the_script_does_the_same(
    application: OneHead, databases: Databases, per_migration: bool
) -> None:
    application.configure["transaction_per_migration"] = per_migration
    script = application.upgrade_script()
    with databases.create() as by_script:
        run_script(by_script, script)
        application.upgrade()
        assert catalog(by_script) == catalog(application.database)

        run_script(by_script, application.downgrade_script())
        application.downgrade()
        assert catalog(by_script) == catalog(application.database)


@pytest.mark.usefixtures("no_store_role")
@pytest.mark.parametrize("schema", OTHER_SCHEMAS)
def test_the_script_has_the_arguments(
    application: OneHead, databases: Databases, schema: str
) -> None:
    quoted = '"' + schema + '"'
    application.call(
        f", schema={schema!r}, roles=True, lock_granularity='category'",
        f", schema={schema!r}, roles=True",
        schema=quoted,
    )
    with databases.create() as by_script:
        run_script(by_script, application.upgrade_script())
        application.upgrade()
        assert catalog(by_script) == catalog(application.database)
        with connected(by_script, quoted) as connection:
            assert connection.execute("SELECT lock_granularity()").fetchone() == ("category",)

        run_script(by_script, application.downgrade_script())
        application.downgrade()
        assert [row[0] for row in catalog(by_script)["schemas"]] == ["public"]
        assert catalog(by_script) == catalog(application.database)


def test_the_schema_may_be_an_option_of_alembic(application: OneHead) -> None:
    application.options["message_store_schema"] = "events"
    application.call(schema="events")

    application.upgrade()

    assert {row[0] for row in catalog(application.database)["functions"]} == {"events"}
    application.downgrade()


@pytest.mark.parametrize("said", ["category", "stream", None])
def test_the_lock_granularity_may_be_an_argument_of_the_command(
    application: OneHead, said: str | None
) -> None:
    config = application.config(**({"lock_granularity": said} if said else {}))
    command.upgrade(config, "head")

    with connected(application.database) as connection:
        granularity = connection.execute("SELECT lock_granularity()").fetchone()
    assert granularity == (said or "stream",)


@pytest.mark.parametrize("version", ["1.2.6", "1.3.0"], indirect=True)
def test_it_adopts_a_store_of_the_original(
    application: OneHead, databases: Databases, originals: Originals, version: str
) -> None:
    with (
        databases.create(originals(version)) as database,
        databases.create(originals(version)) as by_script,
    ):
        before = contents(database)
        application.database = database
        application.upgrade()

        assert contents(database) == before
        application.check()
        with connected(database) as connection:
            assert connection.execute("SELECT lock_granularity()").fetchone() == ("category",)
        run_script(by_script, application.upgrade_script())
        assert catalog(by_script) == catalog(database)


def test_a_store_that_is_there_is_left(application: OneHead) -> None:
    """It was installed without Alembic, and has messages."""
    migrations.upgrade(engine_of(application.database), lock_granularity="category")
    with connected(application.database) as connection:
        connection.execute(WRITE)
    before = store_of(application.database), contents(application.database)

    application.upgrade()

    assert (store_of(application.database), contents(application.database)) == before
    assert migrations.upgrade(engine_of(application.database)) == []


def test_what_is_no_store_is_refused_and_nothing_is_changed(application: OneHead) -> None:
    with connected(application.database) as connection:
        connection.execute("CREATE SCHEMA message_store")
        connection.execute("CREATE TABLE message_store.messages (id int)")
    before = catalog(application.database)

    with pytest.raises(CommandError, match=r"column global_position is missing.*Nothing was"):
        application.upgrade()

    assert catalog(application.database) == before


def test_a_later_step_that_fails_takes_the_store_back(application: OneHead) -> None:
    before = catalog(application.database)
    application.write(
        "app_0004",
        "from alembic import op\nrevision = 'app_0004'\ndown_revision = 'app_0003'\n"
        "def upgrade():\n    op.execute('SELECT 1 / 0')\n",
    )

    with pytest.raises(Exception, match="division by zero"):
        application.upgrade()

    assert catalog(application.database) == before


@pytest.mark.parametrize(
    ("version", "arguments", "why"),
    [
        (
            "0099",
            "",
            f"version must be {' or '.join(map(repr, VERSIONS))} in this release.*got '0099'",
        ),
        (LATEST, ", schema='a$b'", r"a\$b"),
        (LATEST, ", lock_granularity='table'", "must be 'category' or 'stream', got 'table'"),
        (LATEST, ", citus=True", "has no extension citus"),
        ("0003", ", citus=True", "citus requires version 0004 or later, got 0003"),
    ],
)
def test_arguments_that_are_invalid(
    application: OneHead, version: str, arguments: str, why: str
) -> None:
    application.call(arguments)
    revision = application.folder / "migrations" / "versions" / "app_0002.py"
    revision.write_text(revision.read_text().replace(f'"{LATEST}"', f'"{version}"'))

    with pytest.raises(CommandError, match=why):
        application.upgrade()


def test_an_argument_of_the_command_that_is_invalid(application: OneHead) -> None:
    with pytest.raises(CommandError, match="must be 'category' or 'stream', got 'table'"):
        command.upgrade(application.config(lock_granularity="table"), "head")


def test_without_a_transaction_it_is_refused(application: OneHead) -> None:
    revision = application.folder / "migrations" / "versions" / "app_0002.py"
    call = f'migrations.upgrade("{LATEST}")'
    revision.write_text(
        revision.read_text().replace(
            f"    {call}", f"    with op.get_context().autocommit_block():\n        {call}"
        )
    )

    with pytest.raises(CommandError, match="requires a transaction; the connection is AUTOCOMMIT"):
        application.upgrade()


def test_a_version_by_itself_is_for_a_revision() -> None:
    with pytest.raises(
        ValueError, match="Only an Alembic revision of your application can pass a version"
    ):
        migrations.upgrade("0005")


_TENANTS = """
from alembic import context
from sqlalchemy import NullPool, create_engine

options = context.config.attributes
for url in options["tenants"]:
    with create_engine(url, poolclass=NullPool).connect() as connection:
        context.configure(connection=connection, **options["configure"])
        with context.begin_transaction():
            context.run_migrations()
"""


def test_several_databases(application: OneHead, databases: Databases) -> None:
    (application.folder / "migrations" / "env.py").write_text(_TENANTS)
    config = application.config()
    with databases.create() as other:
        config.attributes["tenants"] = [application.database, other]

        command.upgrade(config, "head")
        assert catalog(other) == catalog(application.database)
        with connected(other) as connection:
            connection.execute(WRITE)
        before = catalog(other)
        with pytest.raises(CommandError, match=r"messages \(1\)"):
            command.downgrade(config, "base")

        assert catalog(other) == before


def test_what_was_stamped_back_is_left_as_it_is(application: OneHead) -> None:
    """A history that was stamped to an older revision runs the store's again."""
    application.upgrade("app_0002")
    with connected(application.database) as connection:
        connection.execute(WRITE)
        connection.execute("DROP VIEW public.written")
    before = store_of(application.database), contents(application.database)

    command.stamp(application.config(), "app_0001")
    application.upgrade()

    assert (store_of(application.database), contents(application.database)) == before


def test_what_was_only_stamped_is_not_there(application: OneHead) -> None:
    command.stamp(application.config(), "head")

    with (
        engine_of(application.database).connect() as connection,
        pytest.raises(StoreNotInstalled, match=r'call migrations\.upgrade\("0005"\)'),
    ):
        MessageStore(connection).version("a-1")


def test_the_page_has_a_row_for_each_version() -> None:
    page = Path(__file__).parents[3] / "docs" / "migrations.md"
    rows = re.findall(r"(?m)^\| `(\d{4})` \| \d", page.read_text(encoding="utf-8"))

    assert tuple(rows) == VERSIONS
