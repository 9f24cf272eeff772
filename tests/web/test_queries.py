"""Pages, times, stories, searches and the monitor, without a browser."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, NullPool, create_engine, event, func, text, update
from sqlalchemy.exc import ProgrammingError

from mdb_sqla import Message, MessageStore, StoredMessage, tables
from mdb_sqla.admin import ConsumerOverview
from mdb_sqla.consumers.consumer_lag import Lag
from mdb_sqla.web import message_pages, message_story, store_monitor
from mdb_sqla.web.bounded_database import BoundedDatabase
from mdb_sqla.web.message_pages import Filters, Source, position_at, read_page
from mdb_sqla.web.message_rows import MessageRow
from mdb_sqla.web.message_story import Effect, find_message, read_story
from mdb_sqla.web.store_monitor import StoreMonitor
from mdb_sqla.web.store_search import find_names, find_position
from mdb_sqla.web.store_snapshot import Snapshot

m = tables.messages.c
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def write(db: Connection, stream: str, *causes: Any, number: int = 1) -> list[int]:
    """Write messages to a stream, each caused by a stored one or by none; returns positions."""
    before = db.scalar(func.coalesce(func.max(m.global_position), 0).select()) or 0
    messages = [Message("T", n) for n in range(number)]
    if causes:
        messages = [Message("T", 0).follow(cause) for cause in causes]
    MessageStore(db).write(stream, messages)
    return list(
        db.scalars(
            text(
                "SELECT global_position FROM message_store.messages "
                "WHERE global_position > :before ORDER BY 1"
            ),
            {"before": before},
        )
    )


def stored(db: Connection, position: int) -> StoredMessage:
    found = db.execute(tables.messages.select().where(m.global_position == position)).one()
    (message,) = MessageStore(db).read_stream(found.stream_name, found.position, batch_size=1)
    return message


def set_time(db: Connection, position: int, time: Any) -> None:
    db.execute(update(tables.messages).where(m.global_position == position).values(time=time))


# Pages.


def all_pages(db: Connection, source: Source, filters: Filters, **options: Any) -> list[int]:
    found: list[int] = []
    beyond = None
    while True:
        page = read_page(db, source, filters, beyond=beyond, **options)
        found += [row.global_position for row in page.rows]
        if page.next is None:
            return found
        beyond = page.next


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize(
    "source",
    [Source(), Source(category="a"), Source(stream="a-1")],
    ids=["all", "category", "stream"],
)
def test_pages_have_every_message_once(
    connection: Connection, source: Source, newest_first: bool
) -> None:
    first = write(connection, "a-1", number=7)
    others = write(connection, "b-1", number=3)
    second = write(connection, "a-1", number=5)
    expected = first + second if source != Source() else first + others + second
    found = all_pages(connection, source, Filters(), newest_first=newest_first, size=4)
    assert found == (expected[::-1] if newest_first else expected)


def test_the_search_continues(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that takes too long ends with a page that says how far it came."""
    monkeypatch.setattr(message_pages, "_CHUNK", 5)
    monkeypatch.setattr(message_pages, "_SECONDS", 0.0)
    positions = write(connection, "a-1", number=23)
    filters = Filters(text="22")
    page = read_page(connection, Source(category="a"), filters, newest_first=False)
    assert page.rows == []
    assert page.examined == page.next == positions[4]
    found = all_pages(connection, Source(category="a"), filters, newest_first=False)
    assert found == positions[-1:]
    everything = Filters(type="T")
    assert all_pages(connection, Source(), everything, newest_first=True, size=3) == [
        *reversed(positions)
    ]


def test_filters(connection: Connection) -> None:
    MessageStore(connection).write(
        "a-1",
        [
            Message("Placed", {"name": "100% Über_haus"}),
            Message("Paid", {"name": "other"}),
            Message("Paid", None),
        ],
    )

    def found(**filters: Any) -> list[str]:
        page = read_page(connection, Source("a-1"), Filters(**filters), newest_first=False)
        return [f"{row.position} {row.type}" for row in page.rows]

    assert found(type="Paid") == ["1 Paid", "2 Paid"]
    assert found(type="paid") == []
    assert found(text="über_HAUS") == ["0 Placed"]
    assert found(text="0%") == ["0 Placed"]
    assert found(text="_other") == []
    assert found(since=datetime.now(UTC) + timedelta(hours=1)) == []


# Times.


def test_position_at(connection: Connection) -> None:
    positions = write(connection, "a-1", number=50)
    write(connection, "b-1", number=3)
    for number, position in enumerate(positions):
        set_time(connection, position, NOON + timedelta(minutes=number))

    def at(minutes: float) -> int | None:
        return position_at(connection, Source(category="a"), NOON + timedelta(minutes=minutes))

    assert at(-1) == positions[0]
    assert at(0) == positions[0]
    assert at(17) == positions[17]
    assert at(17.5) == positions[18]
    assert at(49) == positions[49]
    assert at(50) is None
    assert position_at(connection, Source("a-1"), NOON + timedelta(minutes=17)) == 17
    assert position_at(connection, Source("none-1"), NOON) is None


def test_position_at_with_gaps_and_times_out_of_order(connection: Connection) -> None:
    positions = write(connection, "a-1", number=200)
    for number, position in enumerate(positions):
        set_time(connection, position, NOON + timedelta(minutes=number))
    # A long transaction in the middle, whose time is its start.
    for position in positions[100:103]:
        set_time(connection, position, NOON + timedelta(minutes=60))
    connection.execute(tables.messages.delete().where(m.global_position.in_(positions[20:60])))
    for minutes in (10, 30, 61, 90, 105, 150, 199):
        since = NOON + timedelta(minutes=minutes)
        found = position_at(connection, Source(category="a"), since)
        left = [n for n in range(200) if not 20 <= n < 60 and not 100 <= n < 103]
        assert found == next(positions[n] for n in left if n >= minutes), minutes


def test_position_at_with_infinite_times(connection: Connection) -> None:
    positions = write(connection, "a-1", number=3)
    connection.execute(
        text("UPDATE message_store.messages SET time = 'infinity' WHERE global_position = :p"),
        {"p": positions[2]},
    )
    assert position_at(connection, Source(), datetime(9999, 12, 31, tzinfo=UTC)) == positions[2]


# Stories.


def story_of(db: Connection, position: int, **options: Any) -> message_story.Story:
    found = find_message(db, position)
    assert found is not None
    return read_story(db, found.row, **options)


def shape(effects: list[Effect]) -> list[Any]:
    return [(each.row.global_position, shape(each.effects)) for each in effects]


def test_a_tree_of_effects(connection: Connection) -> None:
    (root,) = write(connection, "a-1")
    left, right = write(connection, "b-1", *[stored(connection, root)] * 2)
    (leaf,) = write(connection, "c-1", stored(connection, left))
    write(connection, "d-1")

    story = story_of(connection, root)
    assert shape(story.effects) == [(left, [(leaf, [])]), (right, [])]
    assert (story.causes, story.missing_cause, story.is_truncated) == ([], None, False)
    assert [row.global_position for row in story_of(connection, leaf).causes] == [root, left]


def test_a_cause_that_is_missing(connection: Connection) -> None:
    (root,) = write(connection, "a-1")
    (effect,) = write(connection, "b-1", stored(connection, root))
    connection.execute(tables.messages.delete().where(m.global_position == root))
    assert story_of(connection, effect).missing_cause == ("a-1", 0)


def test_cycles(connection: Connection) -> None:
    (first,) = write(connection, "a-1")
    (second,) = write(connection, "b-1", stored(connection, first))
    for position, cause in ((first, "b-1"), (second, "a-1")):
        connection.execute(
            text(
                "UPDATE message_store.messages SET metadata = jsonb_build_object("
                "'causationMessageStreamName', CAST(:cause AS text), 'causationMessagePosition', 0)"
                " WHERE global_position = :position"
            ),
            {"cause": cause, "position": position},
        )
    assert [row.global_position for row in story_of(connection, first).causes] == [second]
    assert shape(story_of(connection, first).effects) == [(second, [])]
    (own,) = write(connection, "c-1")
    connection.execute(
        text(
            'UPDATE message_store.messages SET metadata = \'{"causationMessageStreamName": '
            '"c-1", "causationMessagePosition": 0}\' WHERE global_position = :position'
        ),
        {"position": own},
    )
    assert story_of(connection, own).causes == []


def test_wide_and_deep_trees(connection: Connection) -> None:
    (root,) = write(connection, "a-1")
    write(connection, "b-1", *[stored(connection, root)] * (message_story.MAX_EFFECTS + 1))
    story = story_of(connection, root)
    assert len(story.effects) == message_story.MAX_EFFECTS
    assert story.is_truncated
    (last,) = write(connection, "chain-0")
    for number in range(1, 80):
        (last,) = write(connection, f"chain-{number}", stored(connection, last))
    causes = story_of(connection, last).causes
    assert len(causes) == 50
    depth, effects = 0, story_of(connection, last - 79).effects
    while effects:
        depth, effects = depth + 1, effects[0].effects
    assert depth == 79


def test_windows(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_story, "WINDOW", 10)
    (root,) = write(connection, "a-1")
    write(connection, "b-1", number=15)
    (effect,) = write(connection, "c-1", stored(connection, root))
    story = story_of(connection, root)
    assert (shape(story.effects), story.searched_to) == ([], root + 10)
    story = story_of(connection, root, windows=2)
    assert (shape(story.effects), story.searched_to) == ([(effect, [])], None)


# Searches.


def test_find_names(connection: Connection) -> None:
    for stream in ("order-1", "order-12", "order-2", "orderLine-1", "invoice-1", "Order-3"):
        write(connection, stream)

    def streams(text: str) -> list[str]:
        return [each["stream"] for each in find_names(connection, text) if "stream" in each]

    def categories(text: str) -> list[str]:
        return [each["category"] for each in find_names(connection, text) if "category" in each]

    assert streams("order-1") == ["order-1"]
    assert streams("order-") == ["order-1", "order-12", "order-2"]
    assert set(streams("1")) == {"order-1", "orderLine-1", "invoice-1"}
    assert categories("ORDER") == ["Order", "order", "orderLine"]
    assert categories("order") == ["order"]
    assert find_names(connection, "x" * 8_000) == []


def test_find_position(connection: Connection) -> None:
    (position,) = write(connection, "a-1")
    id_ = stored(connection, position).id
    assert find_position(connection, str(position)) == position
    assert find_position(connection, str(id_)) == position
    assert find_position(connection, f"{{{id_}}}".upper()) == position
    assert find_position(connection, "9" * 32) is None
    assert find_position(connection, "a-1") is None


# The monitor.


class Counted:
    """An engine that counts its transactions."""

    def __init__(self, url: Any) -> None:
        self.engine = create_engine(url, poolclass=NullPool)
        self.number = 0
        event.listen(self.engine, "begin", self._count)

    def _count(self, _: Any) -> None:
        self.number += 1


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
        monitor = StoreMonitor(BoundedDatabase(counted.engine))
        snapshots = await asyncio.gather(*(monitor.snapshot() for _ in range(50)))
        assert len({id(each) for each in snapshots}) <= 2
        # The state, the summary and the activity.
        assert counted.number == 3

    run(look)


def test_it_stops_without_viewers(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_monitor, "_INTERVAL", 0.02)
    monkeypatch.setattr(store_monitor, "_IDLE", 0.2)

    async def look() -> None:
        monitor = StoreMonitor(BoundedDatabase(counted.engine))
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
        monitor = StoreMonitor(BoundedDatabase(counted.engine))
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
        monitor = StoreMonitor(BoundedDatabase(counted.engine))
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
        monitor = StoreMonitor(BoundedDatabase(counted.engine))

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
    """The monitor goes on without it, and a bug is logged."""
    monkeypatch.setattr(store_monitor, "_INTERVAL", 0.02)

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(store_monitor, "summary", fail)

    async def look() -> None:
        monitor = StoreMonitor(BoundedDatabase(counted.engine))
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
        monitor = StoreMonitor(BoundedDatabase(create_engine("postgresql+psycopg://")))
        found = Snapshot(consumers=tuple(overview(f"c{each}") for each in range(number)))
        for second in range(100):
            monitor._add(found, {}, float(second), second + 0.5)
        return {len(monitor.history(f"c{each}")) for each in range(number)}

    assert kept(2) == {30}
    assert kept(100) == {5}


def overview(name: str) -> ConsumerOverview:
    lag = Lag({0: 1}, messages=0, at_least=False, seconds=0.0, dead_letters=0)
    return ConsumerOverview(name, None, lag, (), (), 0, 0, None, None)


def test_rows_are_without_contents(connection: Connection) -> None:
    MessageStore(connection).write("a-1", Message("T", {"text": "x" * 100_000}))
    (row,) = read_page(connection, Source("a-1"), Filters(), newest_first=True).rows
    assert isinstance(row, MessageRow)
    assert row.preview is None or len(row.preview) <= 240
