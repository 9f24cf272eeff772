"""Stores for suites that name their database and their role themselves: a server for each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import URL, NullPool, create_engine, text

from mdb_sqla import migrations
from mdb_sqla.admin import LockGranularity, lock_granularity
from mdb_sqla.embedded import EmbeddedPostgres, EmbeddedPostgresError

Serving = Callable[[], AbstractContextManager[URL]]


@pytest.fixture(scope="session")
def serving(request: pytest.FixtureRequest) -> Serving:
    """Starts a server with an empty database `message_store` that lets every role log in."""
    where = request.config.getoption("--postgres")
    binaries = Path(where) if where and where != "docker" else None
    try:
        EmbeddedPostgres(binaries=binaries)
    except EmbeddedPostgresError as error:
        pytest.skip(str(error))

    @contextmanager
    def serve() -> Iterator[URL]:
        # Statistics that come at some time would change the order of rows that have none.
        settings = {"fsync": "off", "max_connections": "200", "autovacuum": "off"}
        with EmbeddedPostgres(binaries=binaries, settings=settings) as server:
            engine = create_engine(server.url(), isolation_level="AUTOCOMMIT", poolclass=NullPool)
            with engine.connect() as connection:
                connection.execute(text("CREATE DATABASE message_store"))
            yield server.url("message_store")

    return serve


@pytest.fixture(scope="module", params=["stream", "category"])
def new_store(request: pytest.FixtureRequest, serving: Serving) -> Iterator[URL]:
    """A new store with its roles, in each of the lock granularities."""
    with serving() as url:
        engine = create_engine(url, poolclass=NullPool)
        # Nobody has to ask for streams.
        asked = None if request.param == "stream" else LockGranularity(request.param)
        migrations.upgrade(engine, roles=True, lock_granularity=asked)
        assert lock_granularity(engine).value == request.param
        yield url


def environment(database: URL) -> dict[str, str]:
    """The environment of a program that finds a server as libpq does."""
    kept = {
        name: os.environ[name]
        for name in os.environ
        # Those of this run of pytest are not for the run of another.
        if not name.startswith(("PG", "PYTEST", "DATABASE_", "MDB_"))
    }
    return {
        **kept,
        "PGHOST": str(database.query["host"]),
        "PGPORT": str(database.port),
        "PGUSER": str(database.username),
    }
