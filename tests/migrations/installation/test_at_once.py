"""Many upgrade at once: one of them does it, and the others find nothing left to do."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Barrier

import pytest
from sqlalchemy import URL, NullPool, create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from mdb_sqla import migrations
from tests.conftest import Databases
from tests.migrations.catalog import catalog
from tests.migrations.conftest import REVISIONS, connected, engine_of


@pytest.mark.parametrize(
    ("number", "isolation_level"),
    [(2, "READ COMMITTED"), (8, "READ COMMITTED"), (2, "REPEATABLE READ"), (2, "AUTOCOMMIT")],
)
def test_threads(empty_database: URL, template: URL, number: int, isolation_level: str) -> None:
    start = Barrier(number)

    def upgrade(_: int) -> list[str]:
        engine = create_engine(empty_database, poolclass=NullPool, isolation_level=isolation_level)
        start.wait()
        return migrations.upgrade(engine)

    with ThreadPoolExecutor(number) as pool:
        done = list(pool.map(upgrade, range(number)))

    assert sorted(done) == [[]] * (number - 1) + [REVISIONS]
    assert catalog(empty_database) == catalog(template)


def test_threads_adopt(original: URL) -> None:
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(migrations.upgrade, [engine_of(original)] * 4))

    assert sorted(done) == [[], [], [], REVISIONS]


def test_processes(empty_database: URL, template: URL) -> None:
    program = (
        "import sys; from sqlalchemy import create_engine; from mdb_sqla import migrations; "
        "print(migrations.upgrade(create_engine(sys.argv[1])))"
    )
    url = empty_database.render_as_string(hide_password=False)
    processes = [
        subprocess.Popen([sys.executable, "-c", program, url], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    output = [process.communicate(timeout=60)[0].strip() for process in processes]

    assert sorted(output) == sorted([str(REVISIONS), "[]"])
    assert catalog(empty_database) == catalog(template)


def names(database: URL) -> list[str]:
    return sorted({row[0] for row in catalog(database)["functions"]})


def test_threads_with_a_database_each(databases: Databases) -> None:
    with ExitStack() as stack, ThreadPoolExecutor(3) as pool:
        urls = [stack.enter_context(databases.create()) for _ in range(3)]
        schemas = ["one", "two", "three"]
        start = Barrier(3)

        def upgrade(url: URL, schema: str) -> list[str]:
            start.wait()
            return migrations.upgrade(engine_of(url), schema=schema)

        done = list(pool.map(upgrade, urls, schemas))

        assert done == [REVISIONS] * 3
        assert [names(url) for url in urls] == [["one"], ["two"], ["three"]]


def test_tasks_with_a_database_each(databases: Databases) -> None:
    with ExitStack() as stack:
        urls = [stack.enter_context(databases.create()) for _ in range(2)]

        async def upgrade(url: URL, schema: str) -> list[str]:
            engine = create_async_engine(url.set(drivername="postgresql+asyncpg"))
            try:
                async with engine.connect() as connection:
                    return await connection.run_sync(migrations.upgrade, schema=schema)
            finally:
                await engine.dispose()

        async def upgrade_all() -> list[list[str] | BaseException]:
            tasks = [upgrade(urls[0], "one"), upgrade(urls[1], "two")]
            return await asyncio.gather(*tasks, return_exceptions=True)

        assert asyncio.run(upgrade_all()) == [REVISIONS] * 2
        assert [names(url) for url in urls] == [["one"], ["two"]]


def test_a_writer_does_not_stop_an_upgrade_that_has_nothing_to_do(database: URL) -> None:
    with connected(database) as writer, writer.transaction():
        writer.execute("SELECT write_message(gen_random_uuid()::varchar, 'a-1', 'A', '{}')")
        engine = create_engine(
            database, poolclass=NullPool, connect_args={"options": "-c lock_timeout=100"}
        )

        assert migrations.upgrade(engine) == []
