"""Fixtures for pytest: a server, a template database with a store, and a copy for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from sqlalchemy import URL, Engine, NullPool, create_engine, make_url, text

from mdb_sqla import migrations
from mdb_sqla.embedded import EmbeddedPostgres, EmbeddedPostgresError
from mdb_sqla.wake_up.notifier import end_notifiers

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = [
    "message_store_async_engine",
    "message_store_engine",
    "message_store_migrations",
    "message_store_server_url",
    "message_store_template_url",
    "message_store_url",
]

_VARIABLE = "MDB_TEST_DATABASE_URL"

# Test databases need not survive a power failure.
_SETTINGS = {"fsync": "off", "max_connections": "200"}

# In any schema, with any revision history.
_STORES = text(
    "SELECT FROM pg_class WHERE relname = 'messages' "
    "AND obj_description(oid, 'pg_class') LIKE 'Messages, managed by mdb_sqla%'"
)
_NOT_MIGRATED = (
    "The fixture message_store_migrations did not install a store in the template database "
    "{name}: it migrated another database, or none. Alembic's env.py must prefer the URL that the "
    "fixture sets in its config: "
    'url = context.config.get_main_option("sqlalchemy.url") or settings.database_url'
)


@pytest.fixture(scope="session")
def message_store_server_url() -> Iterator[URL | str]:
    """The URL of any database on a server where the tests may create databases.

    By default the value of MDB_TEST_DATABASE_URL, or the URL of an embedded server that runs for
    the duration of the tests. Override it to choose another server.
    """
    if url := os.environ.get(_VARIABLE):
        yield make_url(url).set(drivername="postgresql+psycopg")
        return
    try:
        server = EmbeddedPostgres(settings=_SETTINGS).start()
    except EmbeddedPostgresError as error:
        pytest.fail(f"{error}; or set {_VARIABLE} to the URL of a server", pytrace=False)
    with server:
        yield server.url()


@pytest.fixture(scope="session")
def message_store_template_url(message_store_server_url: URL | str) -> Iterator[URL]:
    """The URL of the template database, of which each test's database is a copy."""
    with _database(message_store_server_url) as url:
        yield url


@pytest.fixture(scope="session")
def message_store_migrations(message_store_template_url: URL) -> None:
    """Installs the store in the template database, once.

    Override it to create the application's tables too. For example, call
    `command.upgrade(config, "head")` with the template's URL in the config; the application's
    `env.py` must use that URL.
    """
    migrations.upgrade(create_engine(message_store_template_url, poolclass=NullPool))


@pytest.fixture(scope="session")
def _migrated_template(message_store_template_url: URL, message_store_migrations: None) -> str:
    """The name of the template database; fails if no store was installed in it."""
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
    """The URL of the test's own database, which has an empty store and is dropped at the end.

    Connections that are still open then are terminated.
    """
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
    """An async engine on the test's own database, for use in any event loop."""
    from sqlalchemy.ext.asyncio import create_async_engine

    # A connection belongs to the event loop that opened it, and must be closed there.
    return create_async_engine(message_store_url, poolclass=NullPool)


@contextmanager
def _database(server: URL | str, template: str | None = None) -> Iterator[URL]:
    """Create a database with a globally unique name, and drop it after the block."""
    server = make_url(server)
    engine = create_engine(server, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    name = f"message_store_{uuid4().hex}"
    with engine.connect() as connection:
        if template is not None:
            # A template can't be copied while the migrations' connections are open.
            terminate = (
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
            )
            connection.execute(text(terminate), {"name": template})
        copy = f'TEMPLATE "{template}"' if template else ""
        connection.execute(text(f'CREATE DATABASE "{name}" {copy}'))
    try:
        yield server.set(database=name)
    finally:
        end_notifiers(name)
        with engine.connect() as connection:
            connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
