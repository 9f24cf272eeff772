"""A database that does not answer: the scrape does, and shows no stale gauges."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from typing import Any

import pytest
from opentelemetry.exporter.prometheus import _CustomCollector
from sqlalchemy import URL, NullPool, create_engine, event, text

from mdb_sqla.metrics import background_query, store_gauges, store_measurement
from tests.metrics.conftest import Store

DOWN = {"mdb_sqla_store_up": {(): 0.0}}


@pytest.fixture
def caplog(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "mdb_sqla.metrics")
    return caplog


def test_a_database_that_is_gone_and_comes_back(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    is_gone = threading.Event()

    @event.listens_for(store.engine, "do_connect")
    def refuse(dialect: Any, record: Any, arguments: Any, options: dict[str, Any]) -> None:
        if is_gone.is_set():
            options.update(host="127.0.0.1", port=1)

    store.write("order-1")
    store.catch_up("billing", "order")
    assert store.scrape()["mdb_sqla_consumer_lag"] == {("billing",): 0}

    is_gone.set()
    store.engine.dispose()
    for _ in range(3):
        assert store.scrape() == DOWN
    is_gone.clear()
    assert store.scrape()["mdb_sqla_consumer_lag"] == {("billing",): 0}

    # The wake-up may find the database gone as well, and log it.
    logged = [vars(record) for record in caplog.records if record.name == "mdb_sqla.metrics"]
    assert [each["event"] for each in logged] == [
        "metrics.store_unavailable",
        "metrics.store_available",
    ]
    assert "Connection refused" in logged[0]["reason"]


def test_a_server_that_says_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(background_query, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        url = URL.create("postgresql+psycopg", host="127.0.0.1", port=port, database="x")
        store = Store(create_engine(url, poolclass=NullPool))
        began = time.monotonic()
        for _ in range(5):
            assert store.cached() == DOWN
        assert time.monotonic() - began < 2
    assert [record.__dict__["event"] for record in caplog.records] == ["metrics.store_unavailable"]


def test_a_table_that_is_locked(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(store_measurement._TIMEOUT, "statement_timeout", "100ms")
    with store.engine.begin() as connection:
        connection.execute(text("LOCK TABLE message_store.messages"))
        assert store.scrape() == DOWN
        problem = store.gauges.report().problem
        assert problem is not None
        assert "statement timeout" in problem
    assert store.scrape()["mdb_sqla_store_up"] == {(): 1}


def test_queries_that_take_too_long_together(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_gauges, "TIMEOUT", 0.0)

    assert store.scrape() == DOWN
    assert "took too long" in (store.gauges.report().problem or "")


def test_no_store(empty_database: URL) -> None:
    store = Store(create_engine(empty_database, poolclass=NullPool))

    assert store.scrape() == DOWN
    assert "not installed" in (store.gauges.report().problem or "")


def test_concurrent_scrapes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader can't collect twice at a time; each response has each gauge once."""
    store.catch_up("billing", "order")
    expected = store.cached().keys()
    both = threading.Barrier(2)
    add = _CustomCollector.add_metrics_data

    def add_and_meet(collector: Any, metrics: Any) -> None:
        add(collector, metrics)
        # Nobody else comes while a scrape holds the lock.
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.5)

    monkeypatch.setattr(_CustomCollector, "add_metrics_data", add_and_meet)
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(store.cached())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [each.keys() for each in found] == [expected, expected]
