"""Consumers that are told of messages; polling alone would take them half a minute."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
import time
import warnings
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import URL, create_engine, event, func, select, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import Consumer, Group, MemberReplaced, Message, RetryPolicy, migrations, tables
from mdb_sqla.consumers import dead_letter_queue
from mdb_sqla.consumers.heartbeat import Heartbeat, run_heartbeat
from mdb_sqla.consumers.loop_operations import Pause
from mdb_sqla.consumers.runners import Runner
from mdb_sqla.wake_up.channel import channel_of
from mdb_sqla.wake_up.listener import _Listener, _listeners_lock, subscribe
from tests.consumers.conftest import Application, leave_effect
from tests.consumers.test_running import run_until
from tests.waiting import PATIENCE, backends, collect_garbage, wait_until

POLL = (30.0, 30.0)


def listeners(application: Application) -> list[int]:
    """The server's processes that listen."""
    with application.engine.connect() as connection:
        return backends(connection, "^LISTEN")


def noting(application: Application, *categories: str, **options: Any) -> tuple[Consumer, Any]:
    """A consumer that tells of what it has handled."""
    consumer = Consumer("billing", *categories, poll_interval=POLL, **options)
    handled = threading.Event()

    @consumer.on("T")
    def handle(message: Any, unit: Any) -> None:
        leave_effect(message, unit)
        handled.set()

    return consumer, handled


@pytest.mark.parametrize("categories", [("order",), ("other", "order"), ()])
def test_wakes_when_there_is_something_to_handle(
    application: Application, categories: tuple[str, ...]
) -> None:
    consumer, handled = noting(application, *categories)

    def write() -> None:
        for number in range(3):
            # Once it listens and has looked.
            wait_until(lambda: listeners(application))
            handled.clear()
            application.write("order-1", number)
            assert handled.wait(PATIENCE)

    run_until(application, consumer, handled, write)

    assert application.effects() == [0, 1, 2]


def test_does_not_wake_for_what_it_does_not_read(application: Application) -> None:
    consumer, handled = noting(application, "order")
    reads = 0

    def count(_: Any, __: Any, statement: str, *___: Any) -> None:
        nonlocal reads
        reads += "get_category_messages" in statement

    event.listen(application.flavour.sync_engine, "before_cursor_execute", count)

    def write() -> None:
        wait_until(lambda: listeners(application))
        wait_until(lambda: reads >= 1)
        time.sleep(0.1)  # what it does when it begins to listen
        before = reads
        for number in range(5):
            application.write("other-1", number)
            time.sleep(0.05)  # longer than what is told of together
        application.write("order-1", 3)
        assert handled.wait(PATIENCE)
        assert reads <= before + 2

    run_until(application, consumer, handled, write)


def test_a_handlers_messages_wake_others(application: Application) -> None:
    """The messages of a handler are told of like any others, sync or async."""
    first = Consumer("first", "order", poll_interval=POLL)
    second, handled = noting(application, "invoice")

    @first.on("T")
    def pass_on(message: Any, unit: Any) -> None:
        unit.write("invoice-1", Message("T", message.data))

    def write() -> None:
        wait_until(lambda: listeners(application))
        application.write("order-1", 7)
        assert handled.wait(PATIENCE)
        first.stop()
        second.stop()

    if application.flavour.asynchronous:

        async def run() -> None:
            await asyncio.gather(
                first.run_async(application.factory),
                second.run_async(application.factory),
                asyncio.to_thread(write),
            )

        application.flavour.run(run())
    else:
        thread = threading.Thread(target=first.run, args=(application.factory,))
        thread.start()
        run_until(application, second, handled, write)
        thread.join()

    assert application.effects() == [7]
    # One connection listens for both, and none when they have ended.
    assert listeners(application) == []


def test_a_replay_wakes_it(application: Application) -> None:
    mended, handled = threading.Event(), threading.Event()
    consumer = Consumer(
        "billing",
        "order",
        poll_interval=POLL,
        on_failure="dead_letter",
        retry_policy=RetryPolicy(max_attempts=1),
    )

    @consumer.on("T")
    def handle(message: Any, unit: Any) -> None:
        if not mended.is_set():
            raise ZeroDivisionError
        handled.set()

    application.write("order-1", 1)
    application.catch_up(consumer)
    mended.set()

    def replay() -> None:
        wait_until(lambda: listeners(application))
        with application.engine.begin() as connection:
            assert dead_letter_queue.replay(connection, "billing") == 1

    run_until(application, consumer, handled, replay)


def test_a_connection_that_is_lost_is_replaced(application: Application) -> None:
    consumer, handled = noting(application, "order")

    def write() -> None:
        wait_until(lambda: listeners(application))
        (first,) = listeners(application)
        with application.engine.connect() as connection:
            connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": first})
        wait_until(lambda: listeners(application) not in ([], [first]))
        application.write("order-1", 1)

    run_until(application, consumer, handled, write)

    assert application.effects() == [1]


def test_it_can_be_turned_off(application: Application) -> None:
    application.factory.configure(
        bind=application.flavour.engine.execution_options(message_store_wake_up=False)
    )
    consumer = Consumer("billing", "order", poll_interval=(0.01, 0.01))
    handled = threading.Event()
    consumer.on("T")(lambda message, unit: handled.set())
    seen: list[int] = []

    def write() -> None:
        application.write("order-1", 1)
        assert handled.wait(PATIENCE)
        seen.extend(listeners(application))

    run_until(application, consumer, handled, write)

    assert seen == []


def test_a_heart_beats_while_a_handler_blocks_its_thread_or_loop(application: Application) -> None:
    lease = 1.0  # seconds; a machine at work may hold up a beat for a part of one
    group = Group(slots=2, lease=lease, member="m")
    consumer = Consumer("billing", "order", poll_interval=POLL, group=group)
    members = tables.consumer_members.c
    started, alive = threading.Event(), list[bool]()

    @consumer.on("T")
    def block(message: Any, unit: Any) -> None:
        started.set()
        deadline = time.monotonic() + 4 * lease
        with application.engine.connect() as connection:
            while time.monotonic() < deadline:
                still = select(members.alive_until > func.clock_timestamp())
                alive.append(bool(connection.scalar(still)))
                connection.rollback()
                time.sleep(0.01)
        leave_effect(message, unit)

    application.write("order-1", 1)
    run_until(application, consumer, started, lambda: started.wait(PATIENCE))

    assert alive
    assert all(alive)
    assert application.effects() == [1]


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_an_end_right_after_the_beginning_leaves_nothing(
    clean_database: URL, runner: asyncio.Runner, driver: str
) -> None:
    engine = create_async_engine(clean_database.set(drivername=f"postgresql+{driver}"))

    async def connect() -> None:
        async with engine.connect():
            pass

    runner.run(connect())
    current = asyncio.new_event_loop()
    asyncio.set_event_loop(current)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(100):
            with subscribe(engine.sync_engine, (), lambda: None):
                pass
        collect_garbage()
    runner.run(engine.dispose())

    assert [str(each.message) for each in caught if each.category is ResourceWarning] == []
    assert asyncio.get_event_loop() is current
    asyncio.set_event_loop(None)
    current.close()
    assert not [each for each in threading.enumerate() if each.name == "mdb_sqla listener"]


def test_a_busy_consumer_does_not_pile_up_what_wakes_it(application: Application) -> None:
    if application.flavour.asynchronous:
        pytest.skip("an event of asyncio's is set, or it is not")
    driver = Runner(application.factory)

    for _ in range(1000):
        driver.wake()

    assert [driver._do(Pause(0.001)) for _ in range(2)] == [True, False]


def test_the_heart_of_a_member_that_was_replaced_stands_still(
    clean_database: URL, caplog: pytest.LogCaptureFixture
) -> None:
    engine = create_engine(clean_database)
    with engine.connect():
        pass
    beats: list[int] = []

    def beat(_: Any) -> None:
        beats.append(1)
        raise MemberReplaced("billing", "m")

    with run_heartbeat(
        engine, Heartbeat("billing", beat, 0.01), Runner(sessionmaker(engine)).submit
    ):
        wait_until(lambda: not [t for t in threading.enumerate() if "heartbeat" in t.name])

    engine.dispose()
    # Once, or once each way where the dedicated connection was late.
    assert 1 <= len(beats) <= 2
    assert caplog.records == []


def test_a_subscriber_is_woken_once_the_listener_is_ready(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where this thread is slow: messages may have been written before LISTEN."""
    add = _Listener.add

    def add_late(listener: _Listener, subscription: Any) -> None:
        with suppress(AssertionError):
            wait_until(lambda: listeners(application), patience=1.0)
        add(listener, subscription)

    monkeypatch.setattr(_Listener, "add", add_late)
    woken = threading.Event()
    application.engine.connect().close()

    with subscribe(application.engine, [], woken.set):
        assert woken.wait(PATIENCE)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_listens_by_itself(application: Application) -> None:
    engine = application.engine
    engine.connect().close()
    with subscribe(engine, [], lambda: None), _listeners_lock:
        child = os.fork()
        if not child:
            status = 1
            try:
                # Another thread, for this one holds the lock in the fork as well.
                woken = threading.Event()

                def listen() -> None:
                    with subscribe(engine, [], woken.set):
                        woken.wait(PATIENCE)

                thread = threading.Thread(target=listen, daemon=True)
                thread.start()
                thread.join(PATIENCE)
                status = 0 if woken.is_set() else 2
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(
    "execution_options" not in inspect.signature(Session.__init__).parameters,
    reason="sessions have no options before SQLAlchemy 2.1",
)
def test_a_store_in_a_schema_that_sessions_tell(empty_database: URL) -> None:
    schemas = {"message_store": "Events"}
    engine = create_engine(empty_database)
    migrations.upgrade(engine.execution_options(schema_translate_map=schemas), schema="Events")
    factory = sessionmaker(engine, execution_options={"schema_translate_map": schemas})

    of_driver = Runner(factory).engine

    assert channel_of(of_driver) == "Events"
    with engine.connect() as connection:
        connection = connection.execution_options(schema_translate_map=schemas)
        assert channel_of(Runner(sessionmaker(connection)).engine) == "Events"
    engine.dispose()
