"""No downgrade of the store deletes anything unasked, and it is refused before its first step."""

from __future__ import annotations

from typing import Any

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import URL

from mdb_sqla.migrations.store_history import LATEST
from tests.conftest import Databases
from tests.migrations.catalog import catalog
from tests.migrations.conftest import REVISIONS, connected, contents
from tests.migrations.two_heads.application import (
    ROLE,
    Application,
    ScriptFailedError,
    run_script,
)

CONSUMERS = {
    "consumer_slots": "(consumer, slot, slots, position) VALUES ('billing', 0, 1, 1)",
    "consumer_members": "VALUES ('billing', 'a', gen_random_uuid(), interval '10 s', now())",
    "dead_letters": "VALUES ('shipping', 1, 0, 'a-1', 0, 'A', true)",
    "consumers": "(consumer, categories, start) VALUES ('billing', '{a}', 0)",
}
EVERYTHING = (
    "positions (1), members (1), dead letters (1), registered consumers (1), messages (1); "
    "consumers: billing, shipping"
)


def write(database: URL) -> None:
    with connected(database) as connection:
        connection.execute("SELECT write_message(gen_random_uuid()::varchar, 'a-1', 'A', '{}')")


def consume(database: URL, *tables: str) -> None:
    with connected(database) as connection:
        for table in tables or CONSUMERS:
            connection.execute(f"INSERT INTO {table} {CONSUMERS[table]}".encode())


def store(database: URL) -> Any:
    """What is in the store, and where its revisions are."""
    with connected(database) as connection:
        versions = connection.execute(
            "SELECT version_num FROM public.alembic_version WHERE version_num <> 'app_0001' "
            "ORDER BY version_num"
        ).fetchall()
        rows = [
            connection.execute(f"TABLE {table}".encode()).fetchall()
            for table in ("consumer_slots", "consumer_members", "dead_letters", "consumers")
        ]
    of = catalog(database)
    objects = {section: of[section] for section in ("relations", "columns", "functions")}
    ours = {name: [row for row in rows if row[0] != "public"] for name, rows in objects.items()}
    return versions, rows, contents(database), ours


@pytest.fixture
def used(application: Application) -> Application:
    """An application whose store has messages, and consumers that have begun.

    Each step is a transaction: what was done before a refusal would not be rolled back.
    """
    application.configure["transaction_per_migration"] = True
    application.locations.append(ROLE)
    application.upgrade()
    write(application.database)
    consume(application.database)
    return application


@pytest.mark.usefixtures("no_store_role")
@pytest.mark.parametrize(
    ("target", "options"),
    [
        (f"message_store@-{len(REVISIONS)}", "-x delete_consumers=yes -x delete_messages=yes"),
        ("message_store@base", "-x delete_consumers=yes -x delete_messages=yes"),
        ("base", "-x delete_consumers=yes -x delete_messages=yes"),
    ],
)
def test_it_is_refused_before_the_first_step(used: Application, target: str, options: str) -> None:
    before = store(used.database)

    with pytest.raises(CommandError) as refused:
        used.downgrade(target)

    assert f"alembic {options} downgrade" in str(refused.value)
    assert "billing" in str(refused.value)
    assert store(used.database) == before


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


@pytest.mark.parametrize("per_migration", [False, True])
def test_each_of_several_databases_is_guarded(
    application: Application, databases: Databases, per_migration: bool
) -> None:
    """An environment may migrate the databases of its tenants one after the other."""
    (application.folder / "migrations" / "env.py").write_text(_TENANTS)
    application.configure["transaction_per_migration"] = per_migration
    config = application.config()
    with databases.create() as other:
        # The first of them has no store, and its plan no step of the second's.
        config.attributes["tenants"] = [other]
        command.upgrade(config, "message_store@head")
        consume(other)
        before = store(other)

        config.attributes["tenants"] = [application.database, other]
        with pytest.raises(CommandError, match="would delete in schema"):
            command.downgrade(config, "base")

        assert store(other) == before


@pytest.mark.usefixtures("no_store_role")
def test_it_names_what_is_there(used: Application) -> None:
    with pytest.raises(CommandError) as refused:
        used.downgrade()

    assert f'would delete in schema "message_store": {EVERYTHING}.' in str(refused.value)


@pytest.mark.usefixtures("no_store_role")
@pytest.mark.parametrize("asked", ["messages", "consumers"])
def test_leave_to_delete_the_one_is_none_to_delete_the_other(used: Application, asked: str) -> None:
    before = store(used.database)

    with pytest.raises(CommandError) as refused:
        used.downgrade(**{f"delete_{asked}": "yes"})

    assert f"delete_{asked}" not in str(refused.value)
    assert store(used.database) == before


@pytest.mark.usefixtures("no_store_role")
def test_all_is_deleted_when_asked(used: Application) -> None:
    used.downgrade(delete_messages="yes", delete_consumers="yes")

    assert [row[0] for row in catalog(used.database)["schemas"]] == ["public"]


@pytest.mark.usefixtures("no_store_role")
def test_what_deletes_nothing_needs_no_leave(used: Application) -> None:
    """What roles may do is granted anew."""
    used.downgrade("message_store_role@base")

    with connected(used.database) as connection:
        assert connection.execute("SELECT count(*) FROM messages").fetchone() == (1,)


@pytest.mark.parametrize("table", CONSUMERS)
def test_each_table_of_consumers_is_guarded(application: Application, table: str) -> None:
    application.upgrade()
    consume(application.database, table)

    with pytest.raises(CommandError, match=r"\(1\); consumers: (billing|shipping)"):
        application.downgrade("message_store@base")
    application.downgrade("message_store@base", delete_consumers="yes")


@pytest.mark.filterwarnings("ignore:downgrade -1 from multiple heads")
def test_minus_one_again_and_again(application: Application) -> None:
    """It takes the newest revision of whichever head comes first: here, the store's."""
    for revision in ("message_store_0003", "app_0001"):  # the next one deletes nothing
        application.upgrade(revision)
    write(application.database)
    consume(application.database)
    with connected(application.database) as connection:
        connection.execute("INSERT INTO stream_heads VALUES ('account-2', 4)")
        connection.execute("INSERT INTO operations (kind) VALUES ('verify')")
    before = store(application.database)[1:]

    refused = 0
    for _ in range(3):
        try:
            application.downgrade("-1")
        except CommandError:
            refused += 1

    assert refused == 3
    assert store(application.database)[1:] == before


def test_a_store_that_nobody_has_used(application: Application) -> None:
    application.configure["transaction_per_migration"] = True
    application.upgrade()

    application.downgrade("message_store@base")

    assert "message_store" not in {row[0] for row in catalog(application.database)["schemas"]}


@pytest.mark.usefixtures("no_store_role")
def test_the_script_refuses_before_its_first_step(used: Application) -> None:
    before = store(used.database)
    steps = f"message_store_role_{LATEST}:message_store@base"

    with pytest.raises(ScriptFailedError, match=r"positions \(1\).*consumers: billing"):
        run_script(used.database, used.downgrade_script(steps))

    assert store(used.database) == before
    script = used.downgrade_script(steps, delete_messages="yes", delete_consumers="yes")
    run_script(used.database, script)
