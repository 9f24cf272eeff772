"""Queries in the background: shared, cached, and awaited for a limited time."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from mdb_sqla.metrics import background_query
from mdb_sqla.metrics.background_query import QueryCache, in_thread
from tests.waiting import PATIENCE


class Database:
    """Answers when it is told to, and counts the questions."""

    def __init__(self) -> None:
        self.questions: list[Future[str]] = []
        self.asked = threading.Semaphore(0)

    def ask(self) -> Future[str]:
        self.questions.append(Future())
        self.asked.release()
        return self.questions[-1]


@pytest.fixture
def database() -> Database:
    return Database()


def test_callers_share_a_query_and_its_result(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_query, "_KEEP", 60.0)
    cache = QueryCache(database.ask)
    with ThreadPoolExecutor(10) as threads:
        asking = [threads.submit(cache.get) for _ in range(10)]
        assert database.asked.acquire(timeout=PATIENCE)
        database.questions[0].set_result("first")
        assert {each.result(PATIENCE).result() for each in asking} == {"first"}
    assert cache.get().result() == "first"
    assert len(database.questions) == 1

    monkeypatch.setattr(background_query, "_KEEP", 0.0)
    with ThreadPoolExecutor() as threads:
        asking = [threads.submit(cache.get)]
        assert database.asked.acquire(timeout=PATIENCE)
        database.questions[1].set_result("second")
        assert asking[0].result(PATIENCE).result() == "second"


def test_no_answer(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """One query is in progress at most, and only the first caller waits for it."""
    monkeypatch.setattr(background_query, "_KEEP", 0.0)
    monkeypatch.setattr(background_query, "TIMEOUT", 0.2)
    cache = QueryCache(database.ask)
    began = time.monotonic()
    for _ in range(5):
        assert not cache.get().done()
    assert 0.2 <= time.monotonic() - began < 0.6
    assert not asyncio.run(cache.get_async()).done()
    assert len(database.questions) == 1

    database.questions[0].set_result("late")
    cache.get()
    assert len(database.questions) == 2


def test_the_end_wakes_callers(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_query, "TIMEOUT", 2 * PATIENCE)
    cache = QueryCache(database.ask)
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(cache.get)
        waiting_async = threads.submit(lambda: asyncio.run(cache.get_async()))
        assert database.asked.acquire(timeout=PATIENCE)
        cache.close()
        assert waiting.result(PATIENCE).cancelled()
        assert waiting_async.result(PATIENCE).cancelled()
    assert cache.get().cancelled()
    assert len(database.questions) == 1


def test_a_result_that_nobody_wants_any_more() -> None:
    go, threads = threading.Event(), []

    def query() -> str:
        threads.append(threading.current_thread())
        assert go.wait(PATIENCE)
        return "late"

    result = in_thread(query, "a query")
    result.cancel()
    go.set()
    while not threads:
        threading.Event().wait(0.01)
    threads[0].join(PATIENCE)

    assert (threads[0].name, threads[0].daemon) == ("a query", True)
    assert result.cancelled()
