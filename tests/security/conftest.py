from __future__ import annotations

import os
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import URL

from tests.conftest import Databases
from tests.security.hostile import plant
from tests.side_by_side.message_db import conninfo


@pytest.fixture(scope="module")
def attacker(databases: Databases) -> Iterator[str]:
    """A role that may create in the schema `public`, as everybody may before PostgreSQL 15."""
    name = f"mdb_sqla_attacker_{os.getpid()}"
    databases.execute(f"CREATE ROLE {name}")
    yield name
    databases.execute(f"DROP ROLE {name}")


def _planted(url: URL, role: str) -> URL:
    with psycopg.connect(conninfo(url), autocommit=True) as connection:
        plant(connection, role)
    return url


@pytest.fixture(scope="module")
def hostile_store(databases: Databases, template: URL, attacker: str) -> Iterator[URL]:
    """A database with a store, in whose schema `public` another role waits for others."""
    with databases.create(template) as url:
        yield _planted(url, attacker)


@pytest.fixture(scope="module")
def hostile_database(databases: Databases, attacker: str) -> Iterator[URL]:
    """The same without a store; the tests that are made with it take back what they install."""
    with databases.create() as url:
        yield _planted(url, attacker)
