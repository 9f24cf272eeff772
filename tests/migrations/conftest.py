"""Databases with a store of the original, what is in them, and who may use them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import URL, Engine, NullPool, create_engine

from tests.conftest import Databases
from tests.migrations.catalog import Catalog, catalog
from tests.side_by_side.fetching import fetched
from tests.side_by_side.message_db import conninfo

Originals = Callable[[str], URL]

REVISIONS = [
    "message_store_0001",
    "message_store_0002",
    "message_store_0003",
    "message_store_0004",
    "message_store_0005",
]
"""The revisions of the store, in the order in which they are run."""

ROLE_REVISIONS = [
    "message_store_role_0001",
    "message_store_role_0002",
    "message_store_role_0003",
    "message_store_role_0004",
    "message_store_role_0005",
]
"""Those of the roles, which come last."""

ROLES = [
    "message_store",
    "message_store_reader",
    "message_store_writer",
    "message_store_consumer",
]
"""The roles that they make."""


@contextmanager
def connected(
    database: URL, search_path: str = "message_store", role: str | None = None
) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A connection in autocommit mode, by default as clients of Message DB have it."""
    with psycopg.connect(conninfo(database), autocommit=True) as connection:
        connection.execute("SELECT set_config('search_path', %s, false)", [search_path])
        if role is not None:
            connection.execute(sql.SQL("SET SESSION AUTHORIZATION {}").format(sql.Identifier(role)))
        yield connection


def contents(database: URL, schema: str = "message_store") -> list[tuple[Any, ...]]:
    """Every row with its place on disk and its transaction, and where the sequence is."""
    with connected(database, schema) as connection:
        rows = connection.execute("SELECT ctid::text, xmin::text, * FROM messages ORDER BY 3")
        sequence = connection.execute(
            "SELECT last_value, is_called FROM messages_global_position_seq"
        )
        return [*rows.fetchall(), *sequence.fetchall()]


@pytest.fixture(scope="session")
def originals(
    databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Originals]:
    """Gives a database with the original of a version and some messages in it, to copy."""
    templates: dict[str, URL] = {}
    with ExitStack() as stack:

        def template(version: str) -> URL:
            if version not in templates:
                folder = tmp_path_factory.mktemp("message_db") / version
                message_db = fetched(version, folder)
                url = stack.enter_context(databases.create())
                message_db.install(url)
                _write_messages(url)
                templates[version] = url
            return templates[version]

        yield template


def _write_messages(database: URL) -> None:
    # A transaction for each, so that their times differ; one of them leaves a gap.
    with connected(database, role="message_store") as connection:
        for number in range(12):
            if number == 5:
                connection.execute("SELECT nextval('messages_global_position_seq')")
            connection.execute(
                "SELECT write_message(gen_random_uuid()::varchar, %s, %s, %s, %s)",
                [
                    ["account-1", "account-2+x", "account", "other:command-1"][number % 4],
                    ["Opened", "Ünï"][number % 2],
                    [None, '{"n": {"deep": [1, "ü"]}}', "[]"][number % 3],
                    [None, '{"correlationStreamName": "some-1"}'][number % 2],
                ],
            )


@pytest.fixture(params=["1.2.6", "1.3.0"])
def version(request: pytest.FixtureRequest) -> str:
    """A version of Message DB that can be adopted."""
    return str(request.param)


@pytest.fixture
def original(databases: Databases, originals: Originals, version: str) -> Iterator[URL]:
    """A database with a store of the original, the test's own."""
    with databases.create(originals(version)) as url:
        yield url


@pytest.fixture
def original_1_3(databases: Databases, originals: Originals) -> Iterator[URL]:
    with databases.create(originals("1.3.0")) as url:
        yield url


def engine_of(database: URL) -> Engine:
    """An engine that keeps no connection, so that the database can be dropped or copied."""
    return create_engine(database, poolclass=NullPool)


@pytest.fixture
def role(databases: Databases) -> Iterator[str]:
    """The name of a role without any rights.

    Ask for it before the database, so that the database goes first, with all that the role has.
    """
    name = f"mdb_sqla_test_{os.getpid()}"
    databases.execute(f"CREATE ROLE {name} LOGIN")
    yield name
    databases.execute(f"DROP ROLE {name}")


@pytest.fixture
def no_store_role(server_url: URL, databases: Databases) -> Iterator[None]:
    """A server without the store's roles; those that have the names give them up for the time.

    Ask for it before the database, for the same reason.
    """
    with connected(server_url) as connection:

        def rename(old: str, new: str) -> None:
            if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [old]).rowcount:
                connection.execute(f"ALTER ROLE {old} RENAME TO {new}".encode())

        def aside(role: str) -> str:
            return f"{role}_aside_{os.getpid()}"

        for role in ROLES:
            rename(role, aside(role))
        yield
        for role in ROLES:
            try:
                connection.execute(f"DROP ROLE IF EXISTS {role}".encode())
            except psycopg.errors.DependentObjectsStillExist:
                # A test failed and left a database behind.
                rename(role, f"{role}_left_{os.getpid()}_{uuid4().hex[:8]}")
            rename(aside(role), role)


class BlankDatabase:
    """A database for one test after the other, as long as it can be made blank again.

    To create one takes longer than most tests.
    """

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self._stack = ExitStack()
        self._url: URL | None = None
        self._blank: Catalog = {}

    def take(self) -> URL:
        if self._url is None:
            self._url = self._stack.enter_context(self._databases.create())
            self._blank = catalog(self._url)
        return self._url

    def give_back(self) -> None:
        assert self._url is not None
        with connected(self._url) as connection:
            names = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema$)'"
            for (name,) in connection.execute(names).fetchall():
                drop = sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name))
                connection.execute(drop)
            connection.execute(_CREATE_PUBLIC)
        if without_role(catalog(self._url)) != without_role(self._blank):
            self.drop()

    def drop(self) -> None:
        self._stack.close()
        self._url = None


# As initdb creates it.
_CREATE_PUBLIC = """
    DO $$
    BEGIN
      CREATE SCHEMA public;
      COMMENT ON SCHEMA public IS 'standard public schema';
      GRANT USAGE ON SCHEMA public TO PUBLIC;
      IF current_setting('server_version_num')::int >= 150000 THEN
        ALTER SCHEMA public OWNER TO pg_database_owner;
      ELSE
        GRANT CREATE ON SCHEMA public TO PUBLIC;
      END IF;
    END
    $$
"""


def without_role(of: Catalog) -> Catalog:
    """A catalog without the store's roles, which are the server's."""
    return {section: rows for section, rows in of.items() if section != "role"}


@pytest.fixture(scope="session")
def blank_database(databases: Databases) -> Iterator[BlankDatabase]:
    blank = BlankDatabase(databases)
    yield blank
    blank.drop()


@pytest.fixture
def empty_database(blank_database: BlankDatabase) -> Iterator[URL]:
    """A database without a store."""
    yield blank_database.take()
    blank_database.give_back()
