"""The schema of the store is an option of Alembic's configuration."""

from __future__ import annotations

import pytest

from tests.migrations.catalog import catalog
from tests.migrations.conftest import connected
from tests.migrations.two_heads.application import Application


@pytest.fixture(params=["alembic.ini", "pyproject.toml"])
def configured(
    request: pytest.FixtureRequest, application: Application, schema: str
) -> Application:
    """The application with the option in one of the two files that it can be in."""
    if request.param == "alembic.ini":
        application.options["message_store_schema"] = schema
    else:
        # As in alembic.ini, a `%` is written twice there.
        value = schema.replace('"', '\\"').replace("%", "%%")
        (application.folder / "pyproject.toml").write_text(
            f'[tool.alembic]\nmessage_store_schema = "{value}"\n', encoding="utf-8"
        )
    return application


@pytest.mark.parametrize("schema", ["events", "消息 % :x ünï", "My 'Ev\"ents% :x"])
def test_there_and_back(configured: Application, schema: str) -> None:
    configured.upgrade()
    assert {row[0] for row in catalog(configured.database)["functions"]} == {schema}

    configured.downgrade()
    assert [row[0] for row in catalog(configured.database)["schemas"]] == ["public"]


# SQLAlchemy itself can't reflect the tables of a schema with quotes in its name.
@pytest.mark.parametrize("schema", ["events", "消息 % :x ünï"])
def test_nothing_in_it_is_proposed(configured: Application, schema: str) -> None:
    configured.configure["include_schemas"] = True
    configured.upgrade()

    configured.check()


@pytest.mark.parametrize("schema", ["public"])
def test_it_may_be_that_of_the_application(configured: Application, schema: str) -> None:
    configured.upgrade()
    configured.check()
    with connected(configured.database, schema) as connection:
        connection.execute("SELECT write_message(gen_random_uuid()::varchar, 'a-1', 'A', '{}')")
    configured.downgrade(delete_messages="yes")

    assert catalog(configured.database)["functions"] == []
