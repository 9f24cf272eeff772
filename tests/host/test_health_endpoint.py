"""The endpoint by itself: its address, many requests at a time, a database that never answers."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import pytest
from sqlalchemy.orm import sessionmaker

from mdb_sqla import Host, HostStatus, HttpUnavailable, InvalidArgument, Lag
from mdb_sqla.host.health_endpoint import serve_health
from mdb_sqla.host.http_server import parse_address
from mdb_sqla.host.lag_collection import LagReport
from mdb_sqla.metrics import background_query
from mdb_sqla.metrics.background_query import QueryCache
from tests.host.conftest import PATIENCE, Supervisor, billing


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
    assert parse_address(http) == expected


@pytest.mark.parametrize("http", ["", ":80", "host", "host:", 65536, -1, "1.5", "a:٣"])
def test_what_is_no_address(http: Any) -> None:
    with pytest.raises(InvalidArgument, match="a port or host:port"):
        Host(sessionmaker(), billing(), http=http)


class Database:
    """Answers when it is told to, and counts the questions."""

    def __init__(self) -> None:
        self.questions: list[Future[LagReport]] = []
        self.asked = threading.Semaphore(0)

    def ask(self) -> Future[LagReport]:
        self.questions.append(Future())
        self.asked.release()
        return self.questions[-1]

    def status(self, lags: LagReport) -> HostStatus:
        return HostStatus((), lags.problem)

    def serve(self) -> AbstractContextManager[None]:
        return serve_health(("127.0.0.1", 0), QueryCache(self.ask), self.status)


def test_many_requests_are_one_question(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_query, "_KEEP", 60.0)
    database = Database()
    with (
        database.serve(),
        ThreadPoolExecutor(10) as threads,
    ):
        asking = [threads.submit(supervisor.ask) for _ in range(10)]
        assert database.asked.acquire(timeout=PATIENCE)
        database.questions[0].set_result(LagReport([Lag({}, 0, False, 0.0, 0)]))
        assert [each.result()[0] for each in asking] == [200] * 10
        assert supervisor.ask()[0] == 200
        assert len(database.questions) == 1

        monkeypatch.setattr(background_query, "_KEEP", 0.0)
        asking = [threads.submit(supervisor.ask)]
        assert database.asked.acquire(timeout=PATIENCE)
        database.questions[1].set_result(LagReport(problem="gone"))
        assert asking[0].result() == (503, {"healthy": False, "problem": "gone", "consumers": []})


def test_a_database_that_never_answers(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_query, "TIMEOUT", 0.1)
    database = Database()
    with database.serve():
        for _ in range(3):
            code, body = supervisor.ask()
            assert (code, "did not answer" in body["problem"]) == (503, True)
        assert len(database.questions) == 1


def test_a_request_in_hand_does_not_keep_the_host_from_ending(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_query, "TIMEOUT", 3600.0)
    database = Database()
    with ThreadPoolExecutor() as threads:
        with database.serve():
            asking = threads.submit(supervisor.ask)
            assert database.asked.acquire(timeout=PATIENCE)
        code, body = asking.result(PATIENCE)
    assert (code, body["problem"]) == (503, "The host has stopped")
