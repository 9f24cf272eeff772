"""Clients of stores that the tests share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine

from tests.contract.calls import CALLS
from tests.contract.client import Client, hash_64

if TYPE_CHECKING:
    from tests.conftest import Databases


@pytest.fixture
def client(connection: Connection) -> Client:
    """A client whose transaction is rolled back when the test is over."""
    return Client(connection)


OpenClient = Callable[..., Client]


@contextmanager
def _clients(database: URL) -> Iterator[OpenClient]:
    # Sessions of their own know of no setting from another test; and a test that is wrong about
    # who waits for whom fails, and does not hang.
    options = {"options": "-c lock_timeout=20s"}
    engine = create_engine(database, poolclass=NullPool, connect_args=options)
    with ExitStack() as stack:

        def open_client(isolation_level: str = "READ COMMITTED") -> Client:
            connection = stack.enter_context(engine.connect())
            return Client(connection.execution_options(isolation_level=isolation_level))

        yield open_client


@pytest.fixture
def open_client(shared_engine: Engine) -> Iterator[OpenClient]:
    """Opens clients of the store that all tests share; they must not commit what they write."""
    with _clients(shared_engine.url) as open_client:
        yield open_client


@pytest.fixture
def open_committing_client(category_database: URL) -> Iterator[OpenClient]:
    """Opens clients of a store that locks categories; its messages go when the test is over."""
    with _emptied(category_database) as open_client:
        yield open_client


@contextmanager
def _with_granularity(databases: Databases, template: URL, granularity: str) -> Iterator[URL]:
    with databases.create(template) as url:
        with _clients(url) as open_client:
            owner = open_client()
            owner.call("set_lock_granularity", granularity)
            owner.connection.commit()
        yield url


@pytest.fixture(scope="session")
def category_database(databases: Databases, template: URL) -> Iterator[URL]:
    with _with_granularity(databases, template, "category") as url:
        yield url


@pytest.fixture(scope="session")
def stream_database(databases: Databases, template: URL) -> Iterator[URL]:
    with _with_granularity(databases, template, "stream") as url:
        yield url


@contextmanager
def _emptied(database: URL) -> Iterator[OpenClient]:
    with _clients(database) as open_client:
        yield open_client
    with _clients(database) as open_client:
        cleaner = open_client()
        cleaner.execute(
            "TRUNCATE message_store.messages, message_store.stream_heads RESTART IDENTITY"
        )
        cleaner.connection.commit()


@pytest.fixture
def open_stream_client(stream_database: URL) -> Iterator[OpenClient]:
    """Opens clients of a store that locks streams; its messages go when the test is over."""
    with _emptied(stream_database) as open_client:
        yield open_client


@pytest.fixture(params=["category", "stream"])
def open_any_client(
    category_database: URL, stream_database: URL, request: pytest.FixtureRequest
) -> Iterator[OpenClient]:
    """Opens clients of a store of each granularity; its messages go when the test is over."""
    with _emptied(
        category_database if request.param == "category" else stream_database
    ) as open_client:
        yield open_client


@pytest.fixture
def open_switching_client(category_database: URL) -> Iterator[OpenClient]:
    """Opens clients of a store that locks categories until the test changes that."""
    with _emptied(category_database) as open_client:
        yield open_client
    with _clients(category_database) as open_client:
        owner = open_client()
        owner.call("set_lock_granularity", "category")
        owner.connection.commit()


Blocked = Callable[[Client, Callable[[], Any]], "Future[Any]"]


@pytest.fixture
def blocked(shared_engine: Engine) -> Iterator[Blocked]:
    """Starts what a client does in the background; goes on once it waits for another client."""
    with _clients(shared_engine.url) as open_client, ThreadPoolExecutor() as executor:
        observer = open_client()

        def start(client: Client, work: Callable[[], Any]) -> Future[Any]:
            pid = client.pid
            future = executor.submit(work)
            deadline = time.monotonic() + 10
            while not observer.value("SELECT cardinality(pg_blocking_pids(:pid))", pid=pid):
                assert not future.done(), f"it did not wait: {future.result()}"
                assert time.monotonic() < deadline
                time.sleep(0.005)
            return future

        yield start


@pytest.fixture(scope="session")
def expected_hash() -> Callable[[str], int]:
    """What `hash_64` has to return."""
    return hash_64


@pytest.fixture(params=list(CALLS.values()), ids=list(CALLS))
def call(request: pytest.FixtureRequest) -> tuple[str, Any]:
    """A call and its answer, for every function and report in turn."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def every_call_answers() -> Callable[[Client], None]:
    """Make all of these calls on an empty store."""

    def check(client: Client) -> None:
        client.write("account-1", metadata='{"correlationStreamName": "shop-1"}')
        client.set_local("message_store.sql_condition", "on")
        for sql, answer in CALLS.values():
            with client.connection.begin_nested() as savepoint:
                assert client.value(sql.replace("{schema}", client.schema)) == answer, sql
                savepoint.rollback()

    return check
