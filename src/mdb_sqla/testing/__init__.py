"""For an application's tests: databases with a store, consumers that catch up, examples.

It is a plug-in of pytest: `pytest_plugins = ["mdb_sqla.testing"]` in the conftest.py at the root
makes its fixtures known. PYTEST_DONT_REWRITE: it has no assertions, and a conftest may import it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import URL, Engine, NullPool, create_engine, make_url, text

from mdb_sqla import migrations
from mdb_sqla.embedded import EmbeddedPostgres, EmbeddedPostgresError
from mdb_sqla.testing.catch_up import NotCaughtUp, catch_up, catch_up_async
from mdb_sqla.words.argument_checks import plain
from mdb_sqla.words.message import Message, StoredMessage
from mdb_sqla.words.stream_name import StreamName

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = [
    "NotCaughtUp",
    "catch_up",
    "catch_up_async",
    "example_message",
    "example_stored_message",
    "example_stream_name",
    "message_store_async_engine",
    "message_store_engine",
    "message_store_migrations",
    "message_store_server_url",
    "message_store_template_url",
    "message_store_url",
]

_VARIABLE = "MDB_TEST_DATABASE_URL"

# Nothing of a test's database has to outlive a power failure.
_SETTINGS = {"fsync": "off", "max_connections": "200"}

# In whatever schema, and whichever history its revisions belong to.
_STORES = text(
    "SELECT FROM pg_class WHERE relname = 'messages' "
    "AND obj_description(oid, 'pg_class') LIKE 'Messages, managed by mdb_sqla%'"
)
_NOT_MIGRATED = (
    "The fixture message_store_migrations has installed no store in the tests' template, database "
    "{name}: it has migrated another database, or none. An env.py of Alembic must use the URL that "
    "the fixture puts into its config, before that of its own settings: "
    'url = context.config.get_main_option("sqlalchemy.url") or settings.database_url'
)

_global_positions = count(1)


@pytest.fixture(scope="session")
def message_store_server_url() -> Iterator[URL | str]:
    """Any database of a server on which the tests may create databases; override for another.

    It is that of the variable MDB_TEST_DATABASE_URL, or else an embedded server's, which runs as
    long as the tests.
    """
    if url := os.environ.get(_VARIABLE):
        yield make_url(url).set(drivername="postgresql+psycopg")
        return
    try:
        server = EmbeddedPostgres(settings=_SETTINGS).start()
    except EmbeddedPostgresError as error:
        pytest.fail(f"{error}; or name a server in {_VARIABLE}", pytrace=False)
    with server:
        yield server.url()


@pytest.fixture(scope="session")
def message_store_template_url(message_store_server_url: URL | str) -> Iterator[URL]:
    """The database that those of the tests are copies of."""
    with _database(message_store_server_url) as url:
        yield url


@pytest.fixture(scope="session")
def message_store_migrations(message_store_template_url: URL) -> None:
    """Installs the store in the template, once; override to install the application's tables too.

    As in `command.upgrade(config, "head")`, with the template's URL in the config, which the
    application's env.py has to use.
    """
    migrations.upgrade(create_engine(message_store_template_url, poolclass=NullPool))


@pytest.fixture(scope="session")
def _migrated_template(message_store_template_url: URL, message_store_migrations: None) -> str:
    """The name of the template, which has a store: no other database was migrated in its place."""
    engine = create_engine(message_store_template_url, poolclass=NullPool)
    name = message_store_template_url.database
    with engine.connect() as connection:
        if not connection.execute(_STORES).all():
            pytest.fail(_NOT_MIGRATED.format(name=name), pytrace=False)
    return str(name)


@pytest.fixture
def message_store_url(
    message_store_server_url: URL | str, _migrated_template: str
) -> Iterator[URL]:
    """A database with an empty store, the test's own; whoever is connected to it is cut off."""
    with _database(message_store_server_url, _migrated_template) as url:
        yield url


@pytest.fixture
def message_store_engine(message_store_url: URL) -> Iterator[Engine]:
    """An engine on the test's own database."""
    engine = create_engine(message_store_url)
    yield engine
    engine.dispose()


@pytest.fixture
def message_store_async_engine(message_store_url: URL) -> AsyncEngine:
    """An async engine on the test's own database, for any number of event loops."""
    from sqlalchemy.ext.asyncio import create_async_engine

    # A connection belongs to the loop that opened it, and must be closed there.
    return create_async_engine(message_store_url, poolclass=NullPool)


def example_stream_name(category: str = "example") -> StreamName:
    """Return the name of a stream that no other test has, in a category."""
    return StreamName(f"{StreamName(category)}-{uuid4()}")


def example_message(**changes: Any) -> Message:
    """Return a message to be written, with some of its fields given."""
    return Message(**{"type": "Happened", "data": {"number": 1}, **changes})


def example_stored_message(**changes: Any) -> StoredMessage:
    """Return a message as it is read, with some of its fields given.

    If nothing else is said, it is the first of a stream of its own, comes after all earlier
    examples in the order of the store, and was written now.
    """
    message = example_message()
    # A member of an Enum stands for its value, as in what is read.
    given: dict[str, Any] = {
        name: plain(value) if isinstance(value, str) else value for name, value in changes.items()
    }
    return StoredMessage(
        id=message.id,
        stream_name=str(example_stream_name()),
        type=message.type,
        position=0,
        global_position=next(_global_positions),
        data=message.data,
        metadata={},
        time=datetime.now(UTC),
    )._replace(**given)


@contextmanager
def _database(server: URL | str, template: str | None = None) -> Iterator[URL]:
    """Create a database, and drop it in the end; its name is one of all processes and machines."""
    server = make_url(server)
    engine = create_engine(server, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    name = f"message_store_{uuid4().hex}"
    with engine.connect() as connection:
        if template is not None:
            # What has migrated it may still be connected, and then it can't be copied.
            cut_off = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
            connection.execute(text(cut_off), {"name": template})
        copy = f'TEMPLATE "{template}"' if template else ""
        connection.execute(text(f'CREATE DATABASE "{name}" {copy}'))
    try:
        yield server.set(database=name)
    finally:
        with engine.connect() as connection:
            connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
