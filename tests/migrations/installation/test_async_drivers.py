from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from mdb_sqla import DataExists, UnrecognizedStore, migrations
from tests.migrations.catalog import catalog
from tests.migrations.conftest import REVISIONS, connected

Run = Callable[[URL, Callable[[AsyncConnection], Awaitable[Any]]], Any]


@pytest.fixture(params=["asyncpg", "psycopg"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a function with a connection of an asynchronous engine."""
    import asyncio

    async def with_connection(
        database: URL, work: Callable[[AsyncConnection], Awaitable[Any]]
    ) -> Any:
        engine = create_async_engine(database.set(drivername=f"postgresql+{request.param}"))
        try:
            async with engine.connect() as connection:
                return await work(connection)
        finally:
            await engine.dispose()

    return lambda database, work: asyncio.run(with_connection(database, work))


def test_there_and_back(empty_database: URL, template: URL, run: Run) -> None:
    before = catalog(empty_database)

    done = run(empty_database, lambda connection: connection.run_sync(migrations.upgrade))
    assert done == REVISIONS
    assert catalog(empty_database) == catalog(template)
    assert run(empty_database, lambda connection: connection.run_sync(migrations.upgrade)) == []
    run(empty_database, lambda connection: connection.run_sync(migrations.downgrade))
    assert catalog(empty_database) == before


def test_a_rollback_undoes_it(empty_database: URL, run: Run) -> None:
    before = catalog(empty_database)

    async def upgrade(connection: AsyncConnection) -> None:
        await connection.begin()
        await connection.run_sync(migrations.upgrade)
        await connection.rollback()

    run(empty_database, upgrade)

    assert catalog(empty_database) == before


def test_messages_are_not_deleted_unasked(database: URL, run: Run) -> None:
    with connected(database) as connection:
        connection.execute("SELECT write_message(gen_random_uuid()::varchar, 'a-1', 'A', '{}')")
    before = catalog(database)

    with pytest.raises(DataExists):
        run(database, lambda connection: connection.run_sync(migrations.downgrade))

    assert catalog(database) == before


def test_adoption_and_refusal(original_1_3: URL, run: Run) -> None:
    with connected(original_1_3) as connection:
        connection.execute("ALTER TABLE messages ADD tenant text")
        with pytest.raises(UnrecognizedStore, match="column tenant is text"):
            run(original_1_3, lambda connection: connection.run_sync(migrations.upgrade))
        connection.execute("ALTER TABLE messages DROP tenant")

    done = run(original_1_3, lambda connection: connection.run_sync(migrations.upgrade))

    assert done == REVISIONS
