from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from sqlalchemy import URL, Engine, NullPool, create_engine, event, text

from mdb_sqla import migrations
from tests.conftest import Databases
from tests.migrations.conftest import ROLES

MemberOf = Callable[[str], Engine]


@pytest.fixture(scope="module")
def members(databases: Databases) -> Iterator[dict[str, str]]:
    """The role of an application for each of the store's, which it is a member of."""
    names = {role: f"mdb_sqla_{role}_{os.getpid()}" for role in ROLES}
    for name in names.values():
        databases.execute(f"CREATE ROLE {name} LOGIN")
    yield names
    for name in names.values():
        databases.execute(f"DROP ROLE {name}")


@pytest.fixture(scope="module")
def store(databases: Databases, template: URL, members: dict[str, str]) -> Iterator[URL]:
    """A database with a store and its roles, where nothing is open to everybody."""
    with databases.create(template) as url:
        engine = create_engine(url, poolclass=NullPool)
        migrations.upgrade(engine, roles=True)
        with engine.begin() as connection:
            closed = "REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA message_store FROM PUBLIC"
            connection.execute(text(closed))
            for role, member in members.items():
                connection.execute(text(f"GRANT {role} TO {member}"))
        yield url


@pytest.fixture
def member_of(store: URL, members: dict[str, str]) -> Iterator[MemberOf]:
    """Gives an engine that is logged in as a member of a role."""
    with ExitStack() as stack:

        def engine_of(role: str) -> Engine:
            engine = create_engine(store, execution_options={"message_store_wake_up": False})
            stack.callback(engine.dispose)

            # Whether or not the server lets it log in from here.
            @event.listens_for(engine, "connect")
            def become(connection: Any, _: object) -> None:
                connection.execute(f"SET SESSION AUTHORIZATION {members[role]}")
                connection.commit()

            return engine

        yield engine_of
