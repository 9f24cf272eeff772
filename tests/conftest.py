"""The servers, databases and flavours of SQLAlchemy that the tests run with."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from psycopg.errors import ObjectInUse
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from tenacity import retry, retry_if_exception, stop_after_attempt

from mdb_sqla import AsyncMessageStore, AsyncUnitOfWork, MessageStore, UnitOfWork, migrations
from mdb_sqla.wake_up.notifier import end_notifiers
from tests.unchanged_database import CLEAN, UnchangedDatabase
from tests.waiting import CLEANER

pytest_plugins = [
    "tests.brokers.fixtures",
    "tests.garbage",
    "tests.left_connections",
    "tests.repeated_failures",
    "tests.telemetry.fixtures",
    "tests.temporary_files",
]


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A job in the background of a script ignores it, and so would all processes of the tests.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--postgres",
        metavar="WHERE",
        help="where the tests find PostgreSQL: 'docker', or a folder of PostgreSQL binaries; "
        "the default is MDB_TEST_DATABASE_URL if that is set, else the embedded server",
    )
    parser.addoption(
        "--citus",
        metavar="URL",
        help="a database on the coordinator of a Citus cluster, for tests/citus; the default is "
        "MDB_CITUS_URL",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let what is captured be sent from one process to another: it may have lone surrogates."""
    report = yield
    report.sections = [
        (name, content.encode(errors="backslashreplace").decode())
        for name, content in report.sections
    ]
    return report


@contextmanager
def ending_the_run(session: pytest.Session, what: str) -> Iterator[None]:
    """End the run where the block fails, without which no other test can pass either."""
    try:
        yield
    except Exception as error:
        session.shouldfail = f"{what}: {str(error).strip().splitlines()[0]}"
        raise


@pytest.fixture(scope="session")
def server_url(request: pytest.FixtureRequest) -> Iterator[URL]:
    """A database of a server on which the tests may create databases and roles."""
    where = request.config.getoption("--postgres")
    url = os.environ.get("MDB_TEST_DATABASE_URL")
    if where == "docker":
        from testcontainers.community.postgres import PostgresContainer

        image = os.environ.get("MDB_TEST_POSTGRES_IMAGE", "postgres:18")
        with PostgresContainer(image, driver="psycopg") as container:
            yield make_url(container.get_connection_url())
    elif url and where is None:
        yield make_url(url)
    else:
        from mdb_sqla.embedded import EmbeddedPostgres

        binaries = Path(where) if where else None
        # Nothing of a test's database has to outlive a power failure.
        settings = {
            "fsync": "off",
            "max_connections": "200",
            "max_prepared_transactions": "10",
            "full_page_writes": "off",
            "wal_level": "minimal",
            "max_wal_senders": "0",
        }
        server = EmbeddedPostgres(binaries=binaries, settings=settings)
        with ending_the_run(request.session, "The server can't be started"):
            server.start()
        with server:
            yield server.url()


def _is_in_use(error: BaseException) -> bool:
    return isinstance(error, OperationalError) and isinstance(error.orig, ObjectInUse)


class Databases:
    """Creates databases on the server, and drops them."""

    def __init__(self, server: URL) -> None:
        self._server = server
        self._names = (f"mdb_sqla_test_{os.getpid()}_{number}" for number in count())
        # To copy files takes a third of the time where they need not be logged.
        with create_engine(server, poolclass=NullPool).connect() as connection:
            copies_files = connection.scalar(
                text(
                    "SELECT current_setting('wal_level') = 'minimal' "
                    "AND current_setting('server_version_num')::int >= 150000"
                )
            )
        self._strategy = "STRATEGY file_copy" if copies_files else ""

    # PostgreSQL waits 5 seconds for the sessions in a template. On a slow machine, a query of the
    # web interface may take longer.
    @retry(retry=retry_if_exception(_is_in_use), stop=stop_after_attempt(6), reraise=True)
    def execute(self, statement: str) -> None:
        engine = create_engine(self._server, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as connection:
            connection.execute(text(statement))

    @contextmanager
    def create(self, template: URL | None = None) -> Iterator[URL]:
        name = next(self._names)
        source = f'TEMPLATE "{template.database}"' if template else ""
        self.execute(f'CREATE DATABASE "{name}" {source} {self._strategy}')
        try:
            yield self._server.set(database=name)
        finally:
            end_notifiers(name)
            self.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def databases(server_url: URL) -> Databases:
    return Databases(server_url)


@pytest.fixture(scope="session")
def server_version(server_url: URL) -> int:
    """The server's major version."""
    with create_engine(server_url, poolclass=NullPool).connect() as connection:
        return int(connection.scalar(text("SHOW server_version_num"))) // 10_000


@pytest.fixture(scope="session")
def template(request: pytest.FixtureRequest, databases: Databases) -> Iterator[URL]:
    """A database with the store and nothing in it, to copy."""
    with databases.create() as url:
        with ending_the_run(request.session, "The store can't be installed"):
            migrations.upgrade(create_engine(url, poolclass=NullPool))
        yield url


@pytest.fixture
def empty_database(databases: Databases) -> Iterator[URL]:
    """A database without a store."""
    with databases.create() as url:
        yield url


@pytest.fixture(scope="session")
def unchanged_database(databases: Databases, template: URL) -> Iterator[UnchangedDatabase]:
    database = UnchangedDatabase(lambda: databases.create(template))
    yield database
    database.drop()


@pytest.fixture
def database(unchanged_database: UnchangedDatabase) -> Iterator[URL]:
    """A database with an empty store, the test's own: it may do anything to it."""
    yield unchanged_database.take()
    unchanged_database.give_back()


@pytest.fixture(scope="session")
def reused_database(databases: Databases, template: URL) -> Iterator[URL]:
    with databases.create(template) as url:
        yield url


@pytest.fixture(scope="session")
def cleaner(reused_database: URL) -> Iterator[Engine]:
    """One connection to it, which stays: to open another takes longer than to clean."""
    engine = create_engine(
        reused_database,
        isolation_level="AUTOCOMMIT",
        pool_size=1,
        pool_pre_ping=True,  # tests may end all connections
        connect_args={"application_name": CLEANER},
    )
    yield engine
    engine.dispose()


@pytest.fixture
def clean_database(reused_database: URL, cleaner: Engine) -> URL:
    """A database with an empty store; the test may leave messages and tables of its own in it."""
    with cleaner.connect() as connection:
        connection.execute(CLEAN)
    return reused_database


@pytest.fixture
def engine(database: URL) -> Iterator[Engine]:
    """An engine on the test's own database."""
    engine = create_engine(database)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def shared_engine(databases: Databases, template: URL) -> Iterator[Engine]:
    with databases.create(template) as url:
        engine = create_engine(url)
        yield engine
        engine.dispose()


@pytest.fixture
def connection(shared_engine: Engine) -> Iterator[Connection]:
    """A connection in a transaction that is rolled back when the test is over."""
    with shared_engine.connect() as connection, connection.begin() as transaction:
        yield connection
        if transaction.is_active:
            transaction.rollback()


class Flavour:
    """An application in one of the ways to use SQLAlchemy, for tests that are written once.

    `run` gives the result of a call, awaiting it where the flavour is asynchronous; `collect` does
    the same for an iterator.
    """

    def __init__(
        self,
        driver: str,
        asynchronous: bool,
        database: URL,
        runner: asyncio.Runner,
        **options: Any,
    ) -> None:
        self.asynchronous = asynchronous
        self._runner = runner
        url = database.set(drivername=f"postgresql+{driver}")
        create: Any = create_async_engine if asynchronous else create_engine
        engine = create(url, **options)
        self.engine = engine
        self.sync_engine: Engine = engine.sync_engine if asynchronous else engine

    def run(self, call: Any) -> Any:
        if not inspect.isawaitable(call):
            return call

        async def wait() -> Any:
            return await call

        # With the span of the test, as an application's task has that of its request.
        return self._runner.run(wait(), context=copy_context())

    def collect(self, iterator: Any) -> list[Any]:
        items: list[Any] = []
        self.consume(iterator, items.append)
        return items

    def consume(self, iterator: Any, take: Any) -> None:
        """Call `take` with every item."""
        if not self.asynchronous:
            for item in iterator:
                take(item)
            return

        async def take_all() -> None:
            async for item in iterator:
                take(item)

        self._runner.run(take_all())

    @contextmanager
    def session(self, **options: Any) -> Iterator[Any]:
        kind: Any = AsyncSession if self.asynchronous else Session
        session = kind(self.engine, **options)
        try:
            yield session
        finally:
            self.run(session.close())

    @contextmanager
    def connection(self, **options: Any) -> Iterator[Any]:
        connection = self.engine.connect()
        if self.asynchronous:
            connection = self.run(connection.start())
        connection = self.run(connection.execution_options(**options)) if options else connection
        yield connection
        self.run(connection.close())

    @contextmanager
    def unit_of_work(self, source: Any, **options: Any) -> Iterator[Any]:
        kind: Any = AsyncUnitOfWork if self.asynchronous else UnitOfWork
        unit = kind(source, **options)
        if not self.asynchronous:
            with unit:
                yield unit
            return
        self.run(unit.__aenter__())
        try:
            yield unit
        except BaseException as error:
            self.run(unit.__aexit__(type(error), error, error.__traceback__))
            raise
        self.run(unit.__aexit__(None, None, None))

    def store(self, source: Any) -> Any:
        return AsyncMessageStore(source) if self.asynchronous else MessageStore(source)


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(
    params=[("psycopg", False), ("psycopg", True), ("asyncpg", True)],
    ids=["sync", "async", "asyncpg"],
)
def flavour(
    request: pytest.FixtureRequest, clean_database: URL, runner: asyncio.Runner
) -> Iterator[Flavour]:
    """A database with an empty store, used in one of three ways."""
    driver, asynchronous = request.param
    flavour = Flavour(driver, asynchronous, clean_database, runner)
    yield flavour
    flavour.run(flavour.engine.dispose())
