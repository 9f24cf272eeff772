"""A connector that is bound to the application's event loop, as that of a managed service may be.

It refuses to connect in another loop, or waits there indefinitely.
"""

from __future__ import annotations

import asyncio
import importlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from mdb_sqla import Consumer, Group, tables
from tests.consumers.conftest import Application
from tests.consumers.test_running import run_until

LEASE = 1.2  # seconds


@pytest.fixture(params=["refuses", "hangs"])
def engine(
    request: pytest.FixtureRequest, application: Application, runner: asyncio.Runner
) -> Iterator[AsyncEngine]:
    if not application.flavour.asynchronous:
        pytest.skip("only a loop can be bound to")
    bound_to = runner.get_loop()
    url = application.flavour.engine.url
    _, arguments = application.flavour.engine.dialect.create_connect_args(url)
    driver = importlib.import_module(url.get_driver_name())
    open_ = driver.connect if driver.__name__ == "asyncpg" else driver.AsyncConnection.connect

    async def connect() -> Any:
        if asyncio.get_running_loop() is not bound_to:
            if request.param == "hangs":
                await asyncio.Event().wait()
            raise RuntimeError("The running event loop is not the connector's")
        return await open_(**arguments)

    engine = create_async_engine(url, async_creator=connect)
    application.factory.configure(bind=engine)
    yield engine

    async def close() -> None:
        if beats := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(beats, timeout=20)
        await engine.dispose()

    runner.run(close())


def test_a_member_stays_alive(
    application: Application, engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    group = Group(slots=2, lease=LEASE, member="m")
    consumer = Consumer("billing", "order", group=group)
    members = tables.consumer_members.c
    started, alive = threading.Event(), list[bool]()

    @consumer.on("T")
    async def take_long(message: Any, unit: Any) -> None:
        started.set()
        deadline = time.monotonic() + 1.5 * LEASE
        while time.monotonic() < deadline:
            with application.engine.connect() as connection:
                still = select(members.alive_until > func.clock_timestamp())
                alive.append(bool(connection.scalar(still)))
            await asyncio.sleep(0.02)

    application.write("order-1", 1)
    run_until(application, consumer, started, lambda: started.wait(20))

    assert all(alive)
    assert len(alive) > 10
    assert application.position("billing", 0) == 1 or application.position("billing", 1) == 1
    logged = [each for each in caplog.records if "Heartbeats use" in each.getMessage()]
    assert len(logged) == 1


def test_it_polls_and_ends_at_once(
    application: Application, engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    consumer = Consumer("billing", "order", group=Group(lease=30), poll_interval=(0.01, 0.05))
    handled: list[int] = []
    done = threading.Event()
    ended: list[float] = []

    @consumer.on("T")
    async def handle(message: Any, unit: Any) -> None:
        handled.append(message.data)
        if len(handled) == 3:
            ended.append(time.monotonic())
            done.set()

    def write() -> None:
        for number in range(3):
            application.write("order-1", number)

    run_until(application, consumer, done, write)

    assert handled == [0, 1, 2]
    assert time.monotonic() - ended[0] < 1.5
    logged = [each for each in caplog.records if "Notifications are failing" in each.getMessage()]
    assert len(logged) <= 1
