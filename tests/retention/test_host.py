"""The retention job as a periodic task of a host, in a thread or in a task."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, NullPool, create_engine, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import sessionmaker

from mdb_sqla import Consumer, Host, InvalidArgument, tables
from mdb_sqla.host.execution import Execution
from mdb_sqla.host.retention_task import RetentionTask
from tests.retention.conftest import Store
from tests.waiting import wait_until

OFTEN = 0.05  # seconds
NOT_SOON = 30.0  # seconds


@pytest.fixture(params=["sync", "async", "asyncpg"])
def factory(request: pytest.FixtureRequest, store: Store) -> Any:
    if request.param == "sync":
        return sessionmaker(create_engine(store.engine.url, poolclass=NullPool))
    driver = "asyncpg" if request.param == "asyncpg" else "psycopg"
    url = store.engine.url.set(drivername=f"postgresql+{driver}")
    return async_sessionmaker(create_async_engine(url, poolclass=NullPool))


def billing(name: str = "billing", category: str = "order") -> Consumer:
    consumer = Consumer(name, category, poll_interval=(0.01, 0.05))
    consumer.on()(lambda message, unit: None)
    return consumer


def watch(served: Host, look: Callable[[], None]) -> None:
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


def handled(store: Store, consumer: str) -> int:
    """The position of a consumer; 0 if it has none."""
    sql = text("SELECT max(position) FROM message_store.consumer_slots WHERE consumer = :name")
    with store.engine.connect() as connection:
        return connection.scalar(sql, {"name": consumer}) or 0


def errors_of(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if "retention job failed" in record.message]


def test_messages_are_deleted_when_they_are_handled(
    store: Store, factory: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mdb_sqla.host")
    store.policy("order")
    store.write("order-1", 3)
    store.write("other-1", 1)

    def look() -> None:
        wait_until(lambda: store.left() == [("other-1", 0)])
        store.write("order-1", 2)
        wait_until(lambda: store.left() == [("other-1", 0)])

    watch(Host(factory, billing(), retention_interval=OFTEN), look)

    assert handled(store, "billing") >= 6
    assert "messages of category order: keep until all consumers have handled them" in caplog.text
    assert errors_of(caplog) == []
    assert store.is_sound()


def test_without_an_interval_nothing_is_deleted(store: Store, factory: Any) -> None:
    store.policy("order")
    store.write("order-1", 3)

    watch(Host(factory, billing()), lambda: wait_until(lambda: handled(store, "billing") == 3))

    assert len(store.left()) == 3


def test_an_error_is_logged_and_the_consumers_continue(
    store: Store, factory: Any, caplog: pytest.LogCaptureFixture
) -> None:
    store.policy("order")
    store.write("order-1", 1)
    store.execute("ALTER TABLE message_store.retention_policies RENAME TO lost")

    def look() -> None:
        wait_until(lambda: len(errors_of(caplog)) >= 2)
        store.write("order-1", 1)
        wait_until(lambda: handled(store, "billing") == 2)
        assert len(store.left()) == 2
        store.execute("ALTER TABLE message_store.lost RENAME TO retention_policies")
        wait_until(lambda: store.left() == [])

    watch(Host(factory, billing(), retention_interval=OFTEN), look)

    record = errors_of(caplog)[0]
    assert record.exc_info is not None
    assert "is not up to date" in str(record.exc_info[1])


def test_it_stops_at_once_between_two_runs(store: Store, factory: Any) -> None:
    store.policy("order")
    store.write("order-1", 1)
    store.consume("billing", "order")
    stopped: list[float] = []

    def look() -> None:
        wait_until(lambda: store.left() == [])
        stopped.append(time.monotonic())

    watch(Host(factory, billing(), retention_interval=NOT_SOON), look)

    assert time.monotonic() - stopped[0] < NOT_SOON / 3


@contextmanager
def policy_row_locked(engine: Engine) -> Iterator[None]:
    """What a job that is deleting messages of the category holds."""
    with engine.begin() as connection:
        connection.execute(text("SELECT FROM message_store.retention_policies FOR UPDATE"))
        yield


def test_a_category_is_left_to_the_job_that_is_at_it(store: Store, factory: Any) -> None:
    store.policy("order")
    store.write("order-1", 2)

    def look() -> None:
        with policy_row_locked(store.engine):
            wait_until(lambda: handled(store, "billing") == 2)
            # A policy that is set later is found only by a run that did not wait for the other.
            store.policy("other", keep_last=1)
            store.write("other-1", 2)
            wait_until(lambda: store.left("other") == [("other-1", 1)])
            assert len(store.left("order")) == 2
        wait_until(lambda: store.left("order") == [])

    watch(Host(factory, billing(), retention_interval=OFTEN), look)


def test_two_hosts_at_once(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    store.policy("order")
    hosts = [
        Host(store.factory, billing(name), retention_interval=0.001)
        for name in ("billing", "shipping")
    ]
    written = 0

    def run(host: Host) -> None:
        # As `run` does, which only the main thread may call.
        host._retention = RetentionTask(0.001, ["billing", "shipping"])
        execution = Execution(host.consumers, host._retention, host._is_stopping, host._failed)
        execution.run(store.factory)

    with ThreadPoolExecutor() as threads:
        running = [threads.submit(run, host) for host in hosts]
        try:
            for _ in range(100):
                store.write(f"order-{written % 7}", 1 + written % 5)
                written += 1 + written % 5
            wait_until(lambda: store.left() == [])
        finally:
            for host in hosts:
                host.stop()
        for each in running:
            each.result()

    assert errors_of(caplog) == []
    assert sum(row[7] for row in store.rows(tables.deletions)) == written
    assert {handled(store, name) for name in ("billing", "shipping")} == {written}
    assert store.is_sound()


@pytest.mark.parametrize("interval", [0, -1.0, "60", True, float("nan")])
def test_an_interval_that_is_none(store: Store, interval: Any) -> None:
    with pytest.raises(InvalidArgument, match="retention_interval must be a positive number"):
        Host(store.factory, billing(), retention_interval=interval)


def test_it_waits_until_the_consumers_are_registered(store: Store, factory: Any) -> None:
    store.policy("order", keep_last=1)
    store.write("order-1", 3)
    consumers = [billing(), billing("shipping"), billing("pricing", "price")]
    names = [consumer.name for consumer in consumers]

    watch(
        Host(factory, *consumers, retention_interval=OFTEN),
        lambda: wait_until(lambda: store.left() == [("order-1", 2)]),
    )

    assert [handled(store, name) for name in names[:2]] == [3, 3]


def test_it_does_not_begin_without_one_of_them(store: Store) -> None:
    store.policy("order", keep_last=1)
    store.write("order-1", 3)
    store.consume("billing", "order")
    task = RetentionTask(OFTEN, ["billing", "shipping"])
    looked = []

    def look(session: Any) -> None:
        looked.append(session)
        real(session)

    real, task._look_for_consumers = task._look_for_consumers, look  # type: ignore[method-assign]
    with ThreadPoolExecutor() as threads:
        running = threads.submit(task.run, store.factory)
        try:
            wait_until(lambda: len(looked) > 2)
            assert len(store.left()) == 3
            store.consume("shipping", "order")
            wait_until(lambda: len(store.left()) == 1)
        finally:
            task.stop()
        running.result()


def test_a_very_long_interval(store: Store, factory: Any) -> None:
    store.policy("order", keep_last=1)
    store.write("order-1", 2)
    store.consume("billing", "order")

    watch(
        Host(factory, billing(), retention_interval=float("inf")),
        lambda: wait_until(lambda: store.left() == [("order-1", 1)]),
    )
