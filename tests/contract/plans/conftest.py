"""A table that is large enough for a wrong plan to show, and what statements scan in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import pytest
from sqlalchemy import URL, Connection, NullPool, create_engine, text

from tests.contract.client import Client

if TYPE_CHECKING:
    from tests.conftest import Databases

NUMBER = 200_000

# `gone` is all of the first tenth, `late` all of the last three; `main` is nearly all between, and
# `tiny` a few messages that lie far apart. One stream is a tenth of everything.
_FILL = f"""
    INSERT INTO message_store.messages
        (global_position, stream_name, position, type, data, metadata, id)
    SELECT
        number,
        CASE
            WHEN category = 'main' AND number % 5 = 0 THEN 'main-long'
            ELSE category || '-' || number % 997
        END,
        number,
        CASE WHEN number % 50 = 0 THEN 'Rare' ELSE 'Usual' END,
        '{{"some": "data"}}',
        jsonb_build_object(
            'correlationStreamName', CASE WHEN number % 20 = 1 THEN 'seldom-1' ELSE 'often-1' END
        ),
        CAST(lpad(to_hex(number), 32, '0') AS uuid)
    FROM (
        SELECT
            number,
            CASE
                WHEN number % 10007 = 0 THEN 'tiny'
                WHEN number <= {NUMBER // 10} THEN 'gone'
                WHEN number > {NUMBER * 7 // 10} THEN 'late'
                ELSE 'main'
            END AS category
        FROM generate_series(1, {NUMBER}) AS number
    ) AS numbered
    WHERE number BETWEEN :first AND :last AND category <> :without
"""


@pytest.fixture(scope="session")
def large_database(databases: Databases, template: URL) -> Iterator[URL]:
    with databases.create(template) as url:
        with create_engine(url, poolclass=NullPool).begin() as connection:
            # Statistics come when a test wants them.
            connection.execute(
                text("ALTER TABLE message_store.messages SET (autovacuum_enabled = off)")
            )
            _fill(connection)
        yield url


@pytest.fixture(scope="session")
def analyzed_database(databases: Databases, large_database: URL) -> Iterator[URL]:
    with databases.create(large_database) as url:
        with create_engine(url, poolclass=NullPool).begin() as connection:
            connection.execute(text("ANALYZE message_store.messages"))
        yield url


@pytest.fixture(scope="session")
def early_analyzed_database(databases: Databases, template: URL) -> Iterator[URL]:
    """A large store whose statistics are from when it had only the category of its beginning."""
    first = NUMBER // 10
    with databases.create(template) as url:
        with create_engine(url, poolclass=NullPool).begin() as connection:
            connection.execute(
                text("ALTER TABLE message_store.messages SET (autovacuum_enabled = off)")
            )
            _fill(connection, last=first, without="tiny")
            connection.execute(text("ANALYZE message_store.messages"))
            _fill(connection, first=first + 1)
        yield url


def _fill(connection: Connection, *, first: int = 1, last: int = NUMBER, without: str = "") -> None:
    connection.execute(text(_FILL), {"first": first, "last": last, "without": without})
    connection.execute(
        text("SELECT setval('message_store.messages_global_position_seq', :last)"), {"last": last}
    )


@pytest.fixture(params=["analyzed", "not analyzed", "analyzed early"])
def large_client(
    analyzed_database: URL,
    large_database: URL,
    early_analyzed_database: URL,
    request: pytest.FixtureRequest,
) -> Iterator[Client]:
    """A client of a large store; what it does is rolled back when the test is over."""
    url = {
        "analyzed": analyzed_database,
        "not analyzed": large_database,
        "analyzed early": early_analyzed_database,
    }[request.param]
    with create_engine(url, poolclass=NullPool).connect() as connection:
        client = Client(connection)
        client.set_local("message_store.sql_condition", "on")
        yield client


class Scanned(NamedTuple):
    """What was read of the table of messages and its indexes.

    Attributes:
        rows: rows of sequential scans, and entries that index scans returned.
        blocks: of the table and of its indexes; a scan may look at many rows of one.
    """

    rows: int
    blocks: int

    def since(self, before: Scanned) -> Scanned:
        return Scanned(self.rows - before.rows, self.blocks - before.blocks)


def _scanned(client: Client) -> Scanned:
    row = client.execute(
        "SELECT sum(pg_stat_get_xact_tuples_returned(oid))::bigint AS rows,"
        " sum(pg_stat_get_xact_blocks_fetched(oid))::bigint AS blocks "
        "FROM pg_class WHERE relnamespace = 'message_store'::regnamespace "
        "AND relname LIKE 'messages%' AND relkind IN ('r', 'i')"
    ).one()
    return Scanned(row.rows, row.blocks)


@pytest.fixture
def scanned() -> Callable[[Client, Callable[[], object]], Scanned]:
    """Tells what is scanned meanwhile."""

    def measure(client: Client, work: Callable[[], object]) -> Scanned:
        before = _scanned(client)
        work()
        return _scanned(client).since(before)

    return measure
