"""The monitor, which all viewers share, without a browser."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, NullPool, create_engine, event, text
from sqlalchemy.exc import ProgrammingError

from mdb_sqla.admin import ConsumerOverview
from mdb_sqla.consumers.consumer_lag import Lag
from mdb_sqla.web import store_monitor
from mdb_sqla.web.bounded_database import BoundedDatabase
from mdb_sqla.web.message_database import MessageDatabase
from mdb_sqla.web.store_monitor import StoreMonitor
from mdb_sqla.web.store_snapshot import Snapshot


class Counted:
    """An engine that counts its transactions."""

    def __init__(self, url: Any) -> None:
        self.engine = create_engine(url, poolclass=NullPool)
        self.number = 0
        event.listen(self.engine, "begin", self._count)

    def _count(self, _: Any) -> None:
        self.number += 1


def monitor_of(engine: Engine) -> StoreMonitor:
    database = BoundedDatabase(engine)
    return StoreMonitor(database, MessageDatabase(database, None))


@pytest.fixture
def counted(flights: Any) -> Iterator[Counted]:
    counted = Counted(flights)
    yield counted
    counted.engine.dispose()


def run(call: Any) -> None:
    """Run a coroutine in a thread: this one may run the browser's event loop."""
    failures: list[BaseException] = []

    def target() -> None:
        try:
            asyncio.run(call())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join(60)
    if failures:
        raise failures[0]


def test_one_query_for_many_viewers(counted: Counted) -> None:
    async def look() -> None:
        monitor = monitor_of(counted.engine)
        snapshots = await asyncio.gather(*(monitor.snapshot() for _ in range(50)))
        assert len({id(each) for each in snapshots}) <= 2
        # The state, the summary, the dead rows and the activity.
        assert counted.number == 4

    run(look)


def test_it_stops_without_viewers(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_monitor, "_INTERVAL", 0.02)
    monkeypatch.setattr(store_monitor, "_IDLE", 0.2)

    async def look() -> None:
        monitor = monitor_of(counted.engine)
        await monitor.snapshot()
        assert monitor._task is not None
        await asyncio.wait_for(monitor._task, 20)
        number = counted.number
        await monitor.snapshot()
        assert counted.number > number

    run(look)


def test_the_rate(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages of other categories that a position passes do not count."""
    monkeypatch.setattr(store_monitor, "_INTERVAL", 3_600)
    clock = [1_000.0]
    monkeypatch.setattr("mdb_sqla.web.store_monitor.time.monotonic", lambda: clock[0])

    async def look() -> None:
        monitor = monitor_of(counted.engine)
        await monitor.snapshot()
        assert monitor.rate("punctuality") is None
        with counted.engine.begin() as connection:
            connection.execute(
                text(
                    "UPDATE message_store.consumer_slots SET position = position - 100 "
                    "WHERE consumer = 'punctuality'"
                )
            )
        clock[0] += 10
        await monitor.refresh()
        assert monitor.rate("punctuality") == 0
        with counted.engine.begin() as connection:
            connection.execute(
                text(
                    "UPDATE message_store.consumer_slots SET position = position + 100 "
                    "WHERE consumer = 'punctuality'"
                )
            )
        clock[0] += 10
        await asyncio.gather(monitor.refresh(), monitor.refresh())
        assert monitor.rate("punctuality") == pytest.approx(100 / 20)
        assert [each.lag for each in monitor.history("punctuality")] == [
            monitor.history("punctuality")[0].lag,
            monitor.history("punctuality")[0].lag + 100,
            monitor.history("punctuality")[0].lag,
        ]
        assert monitor.rate("none") is None

    run(look)


class Gate:
    """Holds back the queries of an engine from a certain one on."""

    def __init__(self, engine: Any) -> None:
        self.is_closed = False
        self.arrived, self.opened = threading.Event(), threading.Event()
        event.listen(engine, "begin", self._wait)

    def _wait(self, _: Any) -> None:
        if self.is_closed:
            self.is_closed = False
            self.arrived.set()
            assert self.opened.wait(30)


def test_an_action_does_not_wait_for_a_slow_database(
    counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_monitor, "_REFRESH", 0.2)
    gate = Gate(counted.engine)

    async def look() -> None:
        monitor = monitor_of(counted.engine)
        await monitor.snapshot()
        gate.is_closed = True
        before = (await monitor.snapshot()).taken_at
        began = time.monotonic()
        await monitor.refresh()
        assert time.monotonic() - began < 2
        assert (await monitor.snapshot()).taken_at == before
        gate.opened.set()
        # It is not cancelled.
        while (await monitor.snapshot()).taken_at == before:
            await asyncio.sleep(0.01)

    run(look)


def test_a_late_result_does_not_replace_a_newer_one(counted: Counted) -> None:
    """A query that began before an action does not hide the action's effect."""
    gate = Gate(counted.engine)

    def paused(by: str | None) -> None:
        with counted.engine.begin() as connection:
            connection.execute(
                text(
                    "UPDATE message_store.consumers SET paused_by = CAST(:by AS text), "
                    "paused_at = CASE WHEN CAST(:by AS text) IS NOT NULL THEN now() END "
                    "WHERE consumer = 'fleet'"
                ),
                {"by": by},
            )

    async def look() -> None:
        monitor = monitor_of(counted.engine)

        async def paused_by() -> str | None:
            found = (await monitor.snapshot()).consumers
            return next(each.paused_by for each in found if each.name == "fleet")

        assert await paused_by() is None
        gate.is_closed = True
        late = asyncio.create_task(monitor.refresh())
        while not gate.arrived.is_set():
            await asyncio.sleep(0.01)
        paused("Ada")
        try:
            await monitor.refresh()
            assert await paused_by() == "Ada"
            # As the late one would have found it.
            paused(None)
            gate.opened.set()
            await late
            while monitor._refreshing:
                await asyncio.sleep(0.01)
            assert await paused_by() == "Ada"
        finally:
            paused(None)

    run(look)


@pytest.mark.parametrize(
    "error", [RuntimeError("a bug"), ProgrammingError("SELECT", {}, Exception("permission denied"))]
)
def test_a_summary_that_fails(
    counted: Counted,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    """The monitor continues without it, and a bug is logged."""
    monkeypatch.setattr(store_monitor, "_INTERVAL", 0.02)

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(store_monitor, "summary", fail)

    async def look() -> None:
        monitor = monitor_of(counted.engine)
        first = await monitor.snapshot()
        assert (first.summary, first.problem) == (None, None)
        assert first.activity is not None
        while (await monitor.snapshot()).taken_at == first.taken_at:
            await asyncio.sleep(0.01)
        assert monitor._task is not None
        assert not monitor._task.done()

    run(look)
    logged = [each for each in caplog.records if each.__dict__["event"] == "web.summary_skipped"]
    assert [each.exc_info[1] for each in logged if each.exc_info] == (
        [error] if isinstance(error, RuntimeError) else []
    )


def test_the_history_of_many_consumers_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_monitor, "_MAX_POINTS", 60)
    monkeypatch.setattr(store_monitor, "_LEAST_POINTS", 5)

    def kept(number: int) -> set[int]:
        monitor = monitor_of(create_engine("postgresql+psycopg://"))
        found = Snapshot(consumers=tuple(overview(f"c{each}") for each in range(number)))
        for second in range(100):
            monitor._add(found, {}, float(second), second + 0.5)
        return {len(monitor.history(f"c{each}")) for each in range(number)}

    assert kept(2) == {30}
    assert kept(100) == {5}


def overview(name: str) -> ConsumerOverview:
    lag = Lag({0: 1}, messages=0, at_least=False, seconds=0.0, dead_letters=0)
    return ConsumerOverview(name, None, lag, (), (), 0, 0, None, None)
