"""Managed PostgreSQL: a role that is no superuser, and a transaction pooler in front of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import URL

from tests.conftest import Databases, Flavour
from tests.managed.pgbouncer import MISSING, installed, pgbouncer

PASSWORD = "managed"

# What the drivers need behind pgbouncer 1.18, as in docs/managed.md.
PSYCOPG: dict[str, Any] = {"connect_args": {"prepare_threshold": None}}
ASYNCPG: dict[str, Any] = {
    "connect_args": {
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": lambda: f"__asyncpg_{uuid4()}__",
    }
}


@pytest.fixture(scope="session")
def owner(databases: Databases) -> Iterator[str]:
    """A role such as a provider gives: it may log in, and nothing else."""
    name = f"mdb_sqla_managed_{os.getpid()}"
    databases.execute(
        f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}' NOSUPERUSER NOCREATEROLE NOCREATEDB"
    )
    yield name
    databases.execute(f"DROP ROLE {name}")


@pytest.fixture(scope="session")
def pooler(server_url: URL, owner: str) -> Iterator[URL]:
    """The address of pgbouncer in front of the server."""
    if installed() is None:
        if os.environ.get("CI"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    with pgbouncer(server_url, {owner: PASSWORD}) as url:
        yield url


@pytest.fixture
def own_database(databases: Databases, owner: str) -> Iterator[URL]:
    """A database without a store, which the role owns; as a superuser."""
    with databases.create() as url:
        databases.execute(f'ALTER DATABASE "{url.database}" OWNER TO {owner}')
        yield url


@pytest.fixture
def direct(own_database: URL, owner: str) -> URL:
    """The database, as the role."""
    return own_database.set(username=owner, password=PASSWORD)


@pytest.fixture
def pooled(pooler: URL, direct: URL) -> URL:
    """The same through the pooler."""
    return pooler.set(username=direct.username, password=PASSWORD, database=direct.database)


@pytest.fixture(params=["direct", "pooled"])
def url(request: pytest.FixtureRequest) -> URL:
    """Both of them in turn."""
    address: URL = request.getfixturevalue(request.param)
    return address


@pytest.fixture(
    params=[("psycopg", False), ("psycopg", True), ("asyncpg", True)],
    ids=["sync", "async", "asyncpg"],
)
def managed(request: pytest.FixtureRequest, url: URL, runner: asyncio.Runner) -> Iterator[Flavour]:
    driver, asynchronous = request.param
    options = ASYNCPG if driver == "asyncpg" else PSYCOPG
    flavour = Flavour(driver, asynchronous, url, runner, pool_size=3, **options)
    yield flavour
    flavour.run(flavour.engine.dispose())
