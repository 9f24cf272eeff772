"""A database that is down, hangs, is slow, or has no store shows as such; requests never hang."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import expect
from sqlalchemy import URL, Engine, NullPool, create_engine, event, text
from sqlalchemy.ext.asyncio import create_async_engine

from mdb_sqla import Message, MessageStore, migrations
from mdb_sqla.web import bounded_database, store_monitor
from tests.crashing import CrashingServer
from tests.disturbing import crashing_server
from tests.waiting import wait_until
from tests.web.conftest import Open, Pooled, Serve

VIEWS = ["", "map", "messages", "message?at=1", "consumers", "dead-letters", "retention"]
BOUND = 8.0  # seconds

# SQLAlchemy doesn't close a connection whose first query has failed. Whatever still refers to it,
# such as the monitor's last error, lives until some later test of this module, or until its end.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <function BaseConnection.__del__"
    ":pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[CrashingServer]:
    with crashing_server(request) as server:
        engine = create_engine(server.url, poolclass=NullPool)
        migrations.upgrade(engine)
        with engine.begin() as connection:
            MessageStore(connection).write("order-1", Message("Placed"))
        yield server
        gc.collect()  # while these tests still ignore it


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_monitor, "_INTERVAL", 0.3)


def stop_server(engine: Engine) -> list[int]:
    """Stop all processes of the server, and return them."""
    with engine.connect() as connection:
        postmaster = connection.scalar(
            text("SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int")
        )
    assert postmaster is not None
    os.kill(postmaster, signal.SIGSTOP)  # first: it starts the others
    stopped = [postmaster]
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(status.read_text().rpartition(")")[2].split()[1]) == postmaster:
                stopped.append(int(status.parent.name))
                os.kill(stopped[-1], signal.SIGSTOP)
    return stopped


def test_down_at_the_start(
    client: httpx2.Client, served: Serve, open_page: Open, server: CrashingServer
) -> None:
    url = served(create_engine(server.url, poolclass=NullPool))
    server.crash()
    try:
        for view in VIEWS:
            response = client.get(f"{url}/{view}")
            assert response.status_code == 503
            assert "The database is unavailable: " in response.text
            assert '<meta http-equiv="refresh"' in response.text
        visitor = open_page(f"{url}/messages")
        assert visitor.page.inner_text("h1") == "Unavailable"
    finally:
        server.start()
    expect(visitor.page.locator("h1")).to_have_text("All messages", timeout=20_000)
    assert [row[2] for row in visitor.rows()] == ["Placed"]
    visitor.allow("503")


def test_down_while_it_is_open(
    served: Serve, pooled: Pooled, open_page: Open, server: CrashingServer
) -> None:
    engine = pooled(server.url, pool_pre_ping=True)
    url = served(engine)
    overview, messages = open_page(url), open_page(f"{url}/messages")
    server.crash()
    try:
        alert = overview.page.locator("[role=alert]")
        expect(alert).to_contain_text("The database is unavailable: ")
        expect(alert).to_contain_text("What follows is ")
        assert "Messages 1 In the last minute" in overview.text
        expect(messages.page.locator("[role=alert]")).to_contain_text("unavailable")
    finally:
        server.start()
    expect(alert).to_have_count(0)
    expect(messages.page.locator("tbody tr")).to_have_count(1)
    for each in (overview, messages):
        each.allow("503")


def test_hanging(
    client: httpx2.Client, served: Serve, pooled: Pooled, server: CrashingServer
) -> None:
    engine = pooled(server.url)
    url = served(engine)
    new = served(create_engine(server.url, poolclass=NullPool))
    assert client.get(url).status_code == 200
    threads = threading.active_count()

    def get(address: str) -> tuple[int, float, str]:
        began = time.monotonic()
        response = client.get(address)
        return response.status_code, time.monotonic() - began, response.text

    stopped = stop_server(create_engine(server.url, poolclass=NullPool))
    try:
        addresses = [f"{base}/{view}" for base in (url, new) for view in VIEWS[1:] * 2]
        with ThreadPoolExecutor(len(addresses)) as pool:
            answers = list(pool.map(get, addresses))
            # Four of each application, and perhaps one of the monitor of another.
            web = [each for each in threading.enumerate() if each.name == "mdb_sqla web"]
            assert len(web) <= 9
        assert max(seconds for _, seconds, _ in answers) < BOUND
        assert {status for status, _, _ in answers} <= {200, 503}
        assert [status for status, _, _ in answers].count(503) > len(answers) / 2
        assert all(
            "did not answer within 5 seconds" in page
            for status, _, page in answers
            if status == 503
        )
        # From what was queried before.
        wait_until(lambda: "What follows is " in get(f"{url}/consumers")[2])
        status, seconds, _ = get(f"{url}/consumers")
        assert (status, seconds < 2) == (200, True)
    finally:
        for pid in stopped:
            with suppress(ProcessLookupError):  # it had ended before
                os.kill(pid, signal.SIGCONT)
    wait_until(lambda: get(f"{url}/map")[0] == 200)
    wait_until(lambda: get(f"{new}/map")[0] == 200)
    wait_until(lambda: threading.active_count() <= threads + 2)


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_hanging_with_an_async_engine(
    client: httpx2.Client, served: Serve, server: CrashingServer, driver: str
) -> None:
    address = create_engine(server.url).url.set(drivername=f"postgresql+{driver}")
    url = served(create_async_engine(address, poolclass=NullPool))
    assert client.get(url).status_code == 200

    def get(view: str) -> tuple[int, float]:
        began = time.monotonic()
        status = client.get(f"{url}/{view}").status_code
        return status, time.monotonic() - began

    stopped = stop_server(create_engine(server.url, poolclass=NullPool))
    try:
        views = ["map", "messages", "message?at=1", "dead-letters", "retention"] * 2
        with ThreadPoolExecutor(len(views)) as pool:
            answers = list(pool.map(get, views))
        assert max(seconds for _, seconds in answers) < BOUND
        assert {status for status, _ in answers} == {503}
    finally:
        for pid in stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    wait_until(lambda: get("map")[0] == 200)


@pytest.mark.parametrize("driver", ["psycopg", "async psycopg", "asyncpg"])
def test_a_connection_that_is_lost_during_a_request(
    client: httpx2.Client, served: Serve, flights: URL, driver: str
) -> None:
    address = flights.set(drivername=f"postgresql+{driver.split()[-1]}")
    create: Any = create_engine if driver == "psycopg" else create_async_engine
    engine = create(address, poolclass=NullPool)
    is_hostile = threading.Event()

    @event.listens_for(getattr(engine, "sync_engine", engine), "before_cursor_execute")
    def end_session(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if is_hostile.is_set() and "causationMessageStreamName" in statement + str(parameters):
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    url = served(engine)
    assert client.get(f"{url}/message?at=1").status_code == 200
    is_hostile.set()
    response = client.get(f"{url}/message?at=1")
    assert response.status_code == 503
    assert "The database is unavailable: " in response.text
    assert "SELECT" not in response.text
    is_hostile.clear()
    assert client.get(f"{url}/message?at=1").status_code == 200


def test_errors_show_no_password(client: httpx2.Client, served: Serve, flights: URL) -> None:
    for wrong in (
        flights.set(password="sesame-1", username="nobody-here"),
        flights.set(password="sesame-2", host="127.0.0.1", port=1),
        flights.set(password="sesame-3", host="no.such.host.invalid"),
        flights.set(password="sesame-4", database="nothing-here"),
    ):
        for driver in ("psycopg", "psycopg2", "asyncpg"):
            create: Any = create_async_engine if driver == "asyncpg" else create_engine
            url = served(create(wrong.set(drivername=f"postgresql+{driver}"), poolclass=NullPool))
            response = client.get(f"{url}/messages")
            assert response.status_code in {200, 503}  # the server may trust everybody
            assert "sesame" not in response.text


def test_a_slow_query(
    client: httpx2.Client, served: Serve, flights: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = create_engine(flights, poolclass=NullPool)

    @event.listens_for(engine, "before_cursor_execute")
    def delay(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "causationMessageStreamName" in statement + str(parameters):
            cursor.connection.cursor().execute("SELECT pg_sleep(3)")

    url = served(engine)
    response = client.get(f"{url}/map")
    assert response.status_code == 503
    assert "A query took too long and was cancelled" in response.text
    response = client.get(f"{url}/message?at=1")
    assert response.status_code == 200
    assert "The search took too long and was cancelled." in response.text
    assert "Download as JSON" in response.text


def test_a_slow_summary(client: httpx2.Client, served: Serve, flights: URL) -> None:
    """The first page does not wait for it."""
    engine = create_engine(flights, poolclass=NullPool)
    ended = threading.Event()

    @event.listens_for(engine, "before_cursor_execute")
    def delay(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "pg_total_relation_size" in statement:
            ended.wait(20)

    began = time.monotonic()
    response = client.get(served(engine))
    assert response.status_code == 200
    assert time.monotonic() - began < 4
    assert "<dt>Messages</dt><dd>–</dd>" in response.text
    ended.set()


def test_an_action_that_takes_too_long(
    client: httpx2.Client,
    served: Serve,
    flights_copy: URL,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tests.web.pause_form import token_of

    engine = create_engine(flights_copy, poolclass=NullPool)
    url = served(engine, authorize=lambda request: "Ada")
    fields = {"token": token_of(client, url), "consumer": "charges"}
    monkeypatch.setattr(bounded_database, "ANSWER_TIMEOUT", 0.0)
    response = client.post(f"{url}/actions/pause", data=fields)
    assert response.status_code == 503
    assert "what you requested may still be done" in response.text
    assert "http-equiv" not in response.text
    assert "hx-get" not in response.text


def test_no_store(client: httpx2.Client, served: Serve, empty_database: URL) -> None:
    url = served(create_engine(empty_database, poolclass=NullPool))
    for view in VIEWS:
        response = client.get(f"{url}/{view}")
        assert response.status_code == 503
        assert "mdb upgrade" in response.text or "not installed" in response.text, response.text


def test_an_older_store(client: httpx2.Client, served: Serve, empty_database: URL) -> None:
    engine = create_engine(empty_database, poolclass=NullPool)
    migrations.upgrade(engine)
    # As before revision 0003.
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE message_store.operations"))
        connection.execute(text("ALTER TABLE message_store.consumers DROP paused_at CASCADE"))
    response = client.get(served(engine))
    assert response.status_code == 503
    assert "not up to date" in response.text or "upgrade" in response.text


def test_no_connection_is_left_open(
    client: httpx2.Client, served: Serve, pooled: Pooled, flights: URL
) -> None:
    engine = pooled(flights, pool_size=1, max_overflow=9)
    url = served(engine)
    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(lambda _: client.get(f"{url}/messages").status_code, range(40)))
    assert set(statuses) == {200}
    # Four at a time, and the monitor's.
    wait_until(lambda: engine.pool.checkedout() == 0)  # type: ignore[attr-defined]
    assert engine.pool.overflow() <= 4  # type: ignore[attr-defined]
