"""A host that is asked over HTTP how its consumers are."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from urllib.error import HTTPError

import pytest
from sqlalchemy import URL, NullPool, create_engine, event, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import sessionmaker

from mdb_sqla import (
    Consumer,
    Group,
    Host,
    HostStatus,
    HttpUnavailable,
    InvalidArgument,
    Lag,
    Message,
    MessageStore,
    Retries,
)
from mdb_sqla.host import health_endpoint, service_host
from mdb_sqla.host.lag_query import Lags

PATIENCE = 30.0  # seconds


class Supervisor:
    """Asks a host that runs, from another thread than the host's."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    @property
    def url(self) -> str:
        found: list[str] = []

        def is_told() -> bool:
            found.extend(re.findall(r"http://\S+", "\n".join(self._caplog.messages)))
            return bool(found)

        self.until(is_told)
        return found[-1]

    def ask(self) -> tuple[int, dict[str, Any]]:
        """Return status and body."""
        try:
            with urllib.request.urlopen(self.url, timeout=PATIENCE) as response:
                return response.status, json.load(response)
        except HTTPError as error:
            with error:
                return error.code, json.load(error)

    def consumer(self) -> dict[str, Any]:
        body: dict[str, Any] = self.ask()[1]["consumers"][0]
        return body

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline
            threading.Event().wait(0.02)

    def watch(self, served: Host, look: Callable[[], None]) -> None:
        """Run a host in this thread, until another one has looked at it."""

        def look_and_stop() -> None:
            try:
                look()
            finally:
                served.stop()

        with ThreadPoolExecutor() as threads:
            looking = threads.submit(look_and_stop)
            served.run()
            looking.result()


@pytest.fixture
def supervisor(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    caplog.set_level(logging.INFO, "mdb_sqla.host")
    monkeypatch.setattr(health_endpoint, "_FRESH", 0.05)
    return Supervisor(caplog)


@pytest.fixture(params=["sync", "async", "asyncpg"])
def factory(request: pytest.FixtureRequest, database: URL) -> Any:
    if request.param == "sync":
        return sessionmaker(create_engine(database, poolclass=NullPool))
    driver = "asyncpg" if request.param == "asyncpg" else "psycopg"
    url = database.set(drivername=f"postgresql+{driver}")
    return async_sessionmaker(create_async_engine(url, poolclass=NullPool))


def write(database: URL, stream_name: str, *messages: Message) -> None:
    engine = create_engine(database, poolclass=NullPool)
    with engine.begin() as connection:
        MessageStore(connection).write(stream_name, messages)


def billing(**options: Any) -> Consumer:
    consumer = Consumer("billing", "order", poll=(0.01, 0.05), **options)
    consumer.on("Placed")(lambda message, unit: None)
    return consumer


def test_what_is_told(factory: Any, database: URL, supervisor: Supervisor) -> None:
    write(database, "order-1", Message("Placed"), Message("Placed"), Message("Unknown"))
    other = Consumer("other", group=Group(slots=2))
    other.on("Other")(lambda message, unit: None)
    served = Host(factory, billing(), other, http=0)

    def look() -> None:
        supervisor.until(lambda: supervisor.consumer()["positions"] == {"0": 2})
        supervisor.until(lambda: len(supervisor.ask()[1]["consumers"][1]["positions"]) == 2)
        code, body = supervisor.ask()
        assert code == 200
        member = body["consumers"][1].pop("group")
        # Two were handled since it began, a moment ago.
        rates = [consumer.pop("rate") for consumer in body["consumers"]]
        assert 0 < rates[0] <= 2
        assert rates[1] == 0
        assert member.endswith(", 2 slots")
        nothing = {"messages": 0, "at_least": False, "seconds": 0.0}
        assert body == {
            "healthy": True,
            "problem": None,
            "consumers": [
                {
                    "name": "billing",
                    "categories": ["order"],
                    "group": "alone",
                    "handlers": {"Placed": "<lambda>"},
                    "state": "running",
                    "error": None,
                    "positions": {"0": 2},
                    "lag": nothing,
                    "dead_letters": 0,
                },
                {
                    "name": "other",
                    "categories": [],
                    "handlers": {"Other": "<lambda>"},
                    "state": "running",
                    "error": None,
                    "positions": {"0": 0, "1": 0},
                    "lag": nothing,
                    "dead_letters": 0,
                },
            ],
        }

    supervisor.watch(served, look)
    with pytest.raises(OSError, match="refused"):
        supervisor.ask()
    assert "mdb_sqla health" not in {thread.name for thread in threading.enumerate()}


def test_one_that_is_paused_falls_behind(
    factory: Any, database: URL, supervisor: Supervisor
) -> None:
    consumer = billing()

    def look() -> None:
        supervisor.until(lambda: supervisor.consumer()["state"] == "running")
        consumer.pause()
        # What it is about to read is the last thing before the pause.
        threading.Event().wait(0.5)
        write(database, "order-1", Message("Placed"), Message("Placed"))
        supervisor.until(lambda: supervisor.consumer()["lag"]["messages"] == 2)
        code, body = supervisor.ask()
        assert (code, body["consumers"][0]["state"]) == (200, "paused")
        assert body["consumers"][0]["lag"]["seconds"] > 0
        consumer.resume()
        supervisor.until(lambda: supervisor.consumer()["lag"]["messages"] == 0)

    supervisor.watch(Host(factory, consumer, http=0), look)


def test_one_that_has_failed(database: URL, supervisor: Supervisor) -> None:
    """The other one still finishes what it has in hand."""
    write(database, "order-1", Message("Placed"), Message("Bad"))
    asked, is_busy = threading.Event(), threading.Event()
    busy, bad = billing(), Consumer("bad", "order", retries=Retries(attempts=1))
    told: list[tuple[int, dict[str, Any]]] = []

    @busy.on("Bad")
    def wait(message: Any, unit: Any) -> None:
        is_busy.set()
        assert asked.wait(PATIENCE)

    @bad.on("Bad")
    def fail(message: Any, unit: Any) -> None:
        assert is_busy.wait(PATIENCE)
        raise ZeroDivisionError

    def look() -> None:
        supervisor.until(lambda: supervisor.ask()[1]["consumers"][1]["state"] == "failed")
        supervisor.until(lambda: supervisor.consumer()["lag"]["messages"] == 1)
        told.append(supervisor.ask())
        asked.set()

    factory = sessionmaker(create_engine(database, poolclass=NullPool))
    with pytest.raises(ExceptionGroup):
        supervisor.watch(Host(factory, busy, bad, http=0), look)
    ((code, body),) = told
    assert (code, body["healthy"]) == (503, False)
    assert [consumer["state"] for consumer in body["consumers"]] == ["stopping", "failed"]
    assert "could not handle message 2" in body["consumers"][1]["error"]


def test_a_database_that_is_gone(
    factory: Any, database: URL, supervisor: Supervisor, databases: Any
) -> None:
    engine = factory.kw["bind"]
    is_gone = threading.Event()

    @event.listens_for(getattr(engine, "sync_engine", engine), "do_connect")
    def refuse(dialect: Any, record: Any, arguments: Any, options: dict[str, Any]) -> None:
        if is_gone.is_set():
            options.update(host="127.0.0.1", port=1)

    def look() -> None:
        supervisor.until(lambda: supervisor.ask()[0] == 200)
        is_gone.set()
        databases.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE datname = '{database.database}'"
        )
        supervisor.until(lambda: supervisor.ask()[0] == 503)
        supervisor.until(lambda: "failed" in (supervisor.ask()[1]["problem"] or ""))
        assert supervisor.consumer()["name"] == "billing"
        assert supervisor.consumer()["lag"] is None
        is_gone.clear()
        supervisor.until(lambda: supervisor.ask()[0] == 200)

    supervisor.watch(Host(factory, billing(), http=0), look)


def test_a_table_that_is_locked(
    factory: Any, database: URL, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mdb_sqla.consumers import consumer_lag

    monkeypatch.setitem(consumer_lag._SETTINGS, "statement_timeout", "100ms")

    def look() -> None:
        supervisor.until(lambda: supervisor.ask()[0] == 200)
        with create_engine(database, poolclass=NullPool).begin() as connection:
            connection.execute(text("LOCK TABLE message_store.dead_letters"))
            supervisor.until(lambda: supervisor.ask()[0] == 503)
            assert "statement timeout" in supervisor.ask()[1]["problem"]
        supervisor.until(lambda: supervisor.ask()[0] == 200)

    supervisor.watch(Host(factory, billing(), http=0), look)


def test_the_report_at_the_start(factory: Any, database: URL, supervisor: Supervisor) -> None:
    write(database, "order-1", Message("Placed"), Message("Placed"))
    served = Host(factory, billing())
    told: list[HostStatus] = []

    def report(status: HostStatus) -> None:
        told.append(status)
        served.stop()

    served.run(on_start=report)

    (status,) = told
    assert status.consumers[0].state == "stopped"
    assert status.consumers[0].lag is not None
    assert (status.consumers[0].lag.position, status.consumers[0].lag.messages) == (None, 2)


def test_an_address_in_use(factory: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ran: list[HostStatus] = []
        consumer = billing()
        with pytest.raises(HttpUnavailable, match=rf"127\.0\.0\.1:{port}: Address already in use"):
            Host(factory, consumer).run(http=port, on_start=ran.append)
    assert ran == []


@pytest.mark.parametrize(
    ("http", "expected"),
    [
        (8080, ("127.0.0.1", 8080)),
        ("8080", ("127.0.0.1", 8080)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("[::1]:0", ("::1", 0)),
        ("localhost:1", ("localhost", 1)),
    ],
)
def test_addresses(http: Any, expected: tuple[str, int]) -> None:
    assert health_endpoint.parsed_address(http) == expected


@pytest.mark.parametrize("http", ["", ":80", "host", "host:", 65536, -1, "1.5", "a:٣"])
def test_what_is_no_address(http: Any) -> None:
    with pytest.raises(InvalidArgument, match="a port, or host:port"):
        Host(sessionmaker(), billing(), http=http)


class Database:
    """Answers when it is told to, and counts the questions."""

    def __init__(self) -> None:
        self.questions: list[Future[Lags]] = []
        self.asked = threading.Semaphore(0)

    def ask(self) -> Future[Lags]:
        self.questions.append(Future())
        self.asked.release()
        return self.questions[-1]

    def status(self, lags: Lags) -> HostStatus:
        return HostStatus((), lags.problem)


def test_many_requests_are_one_question(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_endpoint, "_FRESH", 60.0)
    database = Database()
    with (
        health_endpoint.serving(("127.0.0.1", 0), database.ask, database.status),
        ThreadPoolExecutor(10) as threads,
    ):
        asking = [threads.submit(supervisor.ask) for _ in range(10)]
        assert database.asked.acquire(timeout=PATIENCE)
        database.questions[0].set_result(Lags([Lag({}, 0, False, 0.0, 0)]))
        assert [each.result()[0] for each in asking] == [200] * 10
        assert supervisor.ask()[0] == 200
        assert len(database.questions) == 1

        monkeypatch.setattr(health_endpoint, "_FRESH", 0.0)
        asking = [threads.submit(supervisor.ask)]
        assert database.asked.acquire(timeout=PATIENCE)
        database.questions[1].set_result(Lags(problem="gone"))
        assert asking[0].result() == (503, {"healthy": False, "problem": "gone", "consumers": []})


def test_a_database_that_never_answers(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_endpoint, "PATIENCE", 0.1)
    database = Database()
    with health_endpoint.serving(("127.0.0.1", 0), database.ask, database.status):
        for _ in range(3):
            code, body = supervisor.ask()
            assert (code, "has not answered" in body["problem"]) == (503, True)
        assert len(database.questions) == 1


def test_a_request_in_hand_does_not_keep_the_host_from_ending(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_endpoint, "PATIENCE", 3600.0)
    database = Database()
    with ThreadPoolExecutor() as threads:
        with health_endpoint.serving(("127.0.0.1", 0), database.ask, database.status):
            asking = threads.submit(supervisor.ask)
            assert database.asked.acquire(timeout=PATIENCE)
        code, body = asking.result(PATIENCE)
    assert (code, body["problem"]) == (503, "The host has ended")


@pytest.fixture
def silent_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[URL]:
    """One that takes connections and says nothing."""
    monkeypatch.setattr(service_host, "PATIENCE", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        yield URL.create("postgresql+psycopg", host="127.0.0.1", port=port, database="x")


def test_a_server_that_says_nothing(silent_server: URL) -> None:
    status = Host(sessionmaker(create_engine(silent_server)), billing()).status()

    assert "has not answered" in (status.problem or "")
    assert not status.is_healthy


def test_a_server_that_says_nothing_async(silent_server: URL) -> None:
    factory = async_sessionmaker(create_async_engine(silent_server))
    status = asyncio.run(Host(factory, billing()).status_async())

    assert "has not answered" in (status.problem or "")
    assert not status.is_healthy


def test_the_status_of_the_other_kind_of_host(silent_server: URL) -> None:
    with pytest.raises(InvalidArgument, match="needs status_async"):
        Host(async_sessionmaker(create_async_engine(silent_server)), billing()).status()
    with pytest.raises(InvalidArgument, match=r"needs status\(\)"):
        asyncio.run(Host(sessionmaker(), billing()).status_async())
