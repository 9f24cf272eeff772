"""The revisions of the store, run by the application's Alembic together with its own."""

from __future__ import annotations

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import URL

from mdb_sqla import StoreNotInstalled, UnrecognizedStore, migrations
from tests.conftest import Databases
from tests.migrations.catalog import Catalog, catalog
from tests.migrations.conftest import Originals, connected, contents, engine_of
from tests.migrations.two_heads.application import ROLE, Application

WRITE = "SELECT write_message(gen_random_uuid()::varchar, 'a-1', 'A', '{}')"


def of_schema(schema: str, of: Catalog) -> Catalog:
    """The objects of a schema, without the version tables of the histories."""
    return {
        section: [row for row in of[section] if row[0] == schema and "version" not in row[1]]
        for section in ("relations", "columns", "indexes", "constraints", "functions", "types")
    }


def test_it_installs_what_migrate_installs(application: Application, template: URL) -> None:
    application.upgrade()

    assert of_schema("message_store", catalog(application.database)) == of_schema(
        "message_store", catalog(template)
    )
    assert of_schema("public", catalog(application.database))["relations"] != []


def test_the_application_can_depend_on_it(application: Application) -> None:
    application.upgrade("app_0001")

    with connected(application.database) as connection:
        assert connection.execute(WRITE).fetchone() == (0,)


def test_a_second_upgrade_does_nothing(application: Application) -> None:
    application.upgrade()
    before = catalog(application.database)

    application.upgrade()

    assert catalog(application.database) == before


def test_there_and_back(application: Application) -> None:
    before = catalog(application.database)

    application.upgrade()
    application.downgrade()

    after = catalog(application.database)
    assert [row[1] for row in after["relations"]] == ["alembic_version", "alembic_version_pkc"]
    for section in ("schemas", "functions", "role", "comments"):
        assert after[section] == before[section]


@pytest.mark.parametrize("answer", [{}, {"delete_messages": "no"}, {"delete_messages": ""}])
def test_messages_are_not_deleted_unasked(application: Application, answer: dict[str, str]) -> None:
    application.upgrade()
    with connected(application.database) as connection:
        connection.execute(WRITE)
    before = catalog(application.database), contents(application.database)

    with pytest.raises(CommandError, match=r"messages \(1\)") as refused:
        application.downgrade(**answer)

    assert "alembic -x delete_messages=yes downgrade" in str(refused.value)
    assert (catalog(application.database), contents(application.database)) == before


def test_messages_are_deleted_when_asked(application: Application) -> None:
    application.upgrade()
    with connected(application.database) as connection:
        connection.execute(WRITE)

    application.downgrade(delete_messages="yes")

    assert [row[0] for row in catalog(application.database)["schemas"]] == ["public"]


@pytest.mark.usefixtures("no_store_role")
def test_the_role_is_left_out(application: Application) -> None:
    application.upgrade()

    assert catalog(application.database)["role"] == []


@pytest.mark.usefixtures("no_store_role")
def test_the_role_is_left_in(application: Application) -> None:
    application.locations.append(ROLE)

    application.upgrade()
    with connected(application.database, role="message_store") as client:
        assert client.execute(WRITE).fetchone() == (0,)
    application.downgrade(delete_messages="yes")

    assert catalog(application.database)["role"] == []


def test_it_adopts_a_store_of_the_original(
    application: Application, databases: Databases, originals: Originals, version: str
) -> None:
    with databases.create(originals(version)) as url:
        before = contents(url)
        application.database = url

        application.upgrade()

        assert contents(url) == before
        application.check()


def test_it_refuses_what_is_no_store(application: Application) -> None:
    with connected(application.database) as connection:
        connection.execute("CREATE SCHEMA message_store")
        connection.execute("CREATE TABLE message_store.messages (id int)")
    before = catalog(application.database)

    with pytest.raises(CommandError, match="column global_position is missing"):
        application.upgrade()

    assert catalog(application.database) == before


def test_a_history_can_take_over_from_migrate(application: Application) -> None:
    migrations.upgrade(engine_of(application.database))
    with pytest.raises(CommandError, match="run: alembic stamp message_store@head"):
        application.upgrade()

    command.stamp(application.config(), "message_store@head")
    application.upgrade()

    application.check()


def test_migrate_leaves_the_store_of_a_history_to_it(application: Application) -> None:
    application.upgrade()
    before = catalog(application.database)

    with pytest.raises(UnrecognizedStore, match="from another migration history"):
        migrations.upgrade(engine_of(application.database))
    with pytest.raises(StoreNotInstalled):
        migrations.downgrade(engine_of(application.database), delete_messages=True)

    assert catalog(application.database) == before
