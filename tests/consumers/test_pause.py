"""A consumer that is paused from another process handles nothing until it is resumed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from mdb_sqla import Consumer, Group, Message, MessageStore
from mdb_sqla.admin import pause_consumer
from mdb_sqla.consumers import run_control
from tests.consumers.conftest import Application, Lines
from tests.consumers.pauses import PAUSED, RESUMED, SLOW, Pausing, pause, pause_slowly, resume
from tests.consumers.running import Handled, consumer_of, run
from tests.waiting import wait_until

# So that a test can wait for what is logged of a pause.
pytestmark = pytest.mark.usefixtures("logged_information")


@pytest.mark.parametrize(
    ("arguments", "handled"),
    [
        ({}, [1, 2]),
        ({"transaction_size": 4}, [1, 2, 3, 4]),
        ({"group": Group(slots=1, lease=5)}, [1, 2]),
        ({"on_failure": "dead_letter"}, [1, 2]),
        # Of a snapshot that is older than the pause, the statements return nothing.
        ({"isolation_level": "REPEATABLE READ"}, [1, 2, 3]),
    ],
    ids=["one", "transactions", "group", "dead-letters", "repeatable-read"],
)
def test_it_finishes_its_transaction_not_its_batch(
    quiet: Application,
    lines: Lines,
    monkeypatch: pytest.MonkeyPatch,
    arguments: dict[str, Any],
    handled: list[int],
) -> None:
    if "isolation_level" in arguments:
        # Otherwise, the first statement that returns the pause depends on how long messages take.
        monkeypatch.setattr(run_control, "MAX_AGE", 0.0)
    handler = Pausing(quiet, at=2)
    consumer = consumer_of(handler, **arguments)
    quiet.write("order-1", 1, 2, 3, 4, 5, 6)

    def script() -> None:
        lines.wait_for(PAUSED)
        assert consumer.state == "paused"
        assert quiet.effects() == handled
        assert quiet.position("billing") == len(handled)
        resume(quiet)
        handler.wait_for(6)
        lines.wait_for(RESUMED)
        assert str(consumer.state) == "running"

    run(quiet, consumer, script)

    assert handler.numbers == [1, 2, 3, 4, 5, 6]


def test_with_a_notification_also_at_repeatable_read(
    application: Application, lines: Lines
) -> None:
    """The handler waits until the consumer has been notified; the next one is not called."""
    handler = Pausing(application, at=2)
    consumer = consumer_of(handler, isolation_level="REPEATABLE READ", poll_interval=SLOW)
    notified = threading.Event()

    @consumer.on("Wait")
    def wait(message: Any, unit: Any) -> None:
        handler(message, unit)
        run_ = consumer._running
        assert run_ is not None
        wait_until(lambda: run_._loop.control.outdated)
        notified.set()

    application.write("order-1", 1)
    application.write("order-1", 2, type_="Wait")
    application.write("order-1", 3)

    def script() -> None:
        lines.wait_for(PAUSED)
        assert handler.numbers == [1, 2]
        resume(application)
        handler.wait_for(3)

    run(application, consumer, script)
    assert notified.is_set()


def test_what_is_in_flight_is_finished(application: Application, lines: Lines) -> None:
    if not application.flavour.asynchronous:
        pytest.skip("what is in flight needs a loop")
    consumer = Consumer("billing", "order", max_in_flight=2, poll_interval=SLOW)
    calls: list[int] = []

    @consumer.on("T")
    async def send(message: Any) -> None:
        if message.data == 1:
            await asyncio.to_thread(pause_slowly, application)
        calls.append(message.data)

    for number in (1, 2, 3, 4):
        application.write(f"order-{number}", number)

    def script() -> None:
        lines.wait_for(PAUSED)
        assert sorted(calls) == [1, 2]
        assert application.position("billing") == 2
        resume(application)
        wait_until(lambda: len(calls) == 4)

    run(application, consumer, script)
    assert sorted(calls) == [1, 2, 3, 4]


def test_between_two_polls(quiet: Application, lines: Lines) -> None:
    """Not a single message of the next batch is handled."""
    handler = Handled()
    consumer = consumer_of(handler)
    quiet.write("order-1", 1)
    waiting = text(
        "SELECT count(*) FROM pg_locks WHERE NOT granted "
        "AND relation = 'message_store.consumer_slots'::regclass"
    )

    def script() -> None:
        wait_until(lambda: quiet.position("billing") == 1)
        with quiet.engine.begin() as connection:
            connection.execute(text("LOCK TABLE message_store.consumer_slots"))
            wait_until(lambda: connection.scalar(waiting))  # with its next read
            pause_consumer(connection, "billing", by="alice")
            MessageStore(connection).write("order-1", Message("T", 2))
        lines.wait_for(PAUSED)
        assert handler.numbers == [1]
        resume(quiet)
        handler.wait_for(2)

    run(quiet, consumer, script)


def test_it_takes_effect_at_once(application: Application, lines: Lines) -> None:
    """An idle consumer that seldom polls is notified, and so is a paused one."""
    handler = Handled()
    consumer = consumer_of(handler, poll_interval=SLOW)
    application.write("order-1", 1)

    def script() -> None:
        handler.wait_for(1)
        pause(application)
        lines.wait_for(PAUSED)
        application.write("order-1", 2)
        assert handler.numbers == [1]
        resume(application)
        handler.wait_for(2)

    run(application, consumer, script)


def test_in_the_middle_of_a_batch_after_the_other_way(quiet: Application, lines: Lines) -> None:
    """What was committed while it was paused in its process is seen before the next message."""
    handler = Handled()
    consumer = consumer_of(handler)

    @consumer.on("Pause")
    def pause_here(message: Any, unit: Any) -> None:
        handler(message, unit)
        consumer.pause()

    quiet.write("order-1", 1, type_="Pause")
    quiet.write("order-1", 2)
    with quiet.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO message_store.consumers (consumer, categories, start) "
                "VALUES ('billing', '{order}', 1)"
            )
        )

    def script() -> None:
        wait_until(lambda: quiet.position("billing") == 1)
        pause(quiet)
        consumer.resume()
        lines.wait_for(PAUSED)
        assert handler.numbers == [1]
        resume(quiet)
        handler.wait_for(2)

    run(quiet, consumer, script)


def counted(engine: Any, pattern: str) -> Callable[[], int]:
    """Count the statements of an engine that contain a text."""
    number = 0

    def count(_connection: object, _cursor: object, statement: str, *_others: object) -> None:
        nonlocal number
        number += pattern in statement

    sync: Engine = getattr(engine, "sync_engine", engine)
    event.listen(sync, "before_cursor_execute", count)
    return lambda: number


def test_messages_do_not_make_it_poll(application: Application, lines: Lines) -> None:
    """Each of them wakes it, but it looks only once per interval whether it was resumed."""
    handler = Handled()
    consumer = consumer_of(handler, poll_interval=SLOW)
    application.write("order-1", 1)
    polls = counted(application.flavour.engine, "paused_by")

    def script() -> None:
        handler.wait_for(1)
        pause(application)
        lines.wait_for(PAUSED)
        before = polls()
        awake = consumer._running
        assert awake is not None
        for number in range(2, 12):
            application.write("order-1", number)
            awake._runner.wake()
        assert polls() - before <= 1  # the notification may have come in between
        resume(application)
        handler.wait_for(11)

    run(application, consumer, script)


def test_without_notifications_it_polls(quiet: Application, lines: Lines) -> None:
    handler = Handled()
    consumer = consumer_of(handler, poll_interval=(0.002, 0.02))
    quiet.write("order-1", 1)

    def script() -> None:
        handler.wait_for(1)
        pause(quiet)
        lines.wait_for(PAUSED)
        quiet.write("order-1", 2)
        resume(quiet)
        handler.wait_for(2)

    run(quiet, consumer, script)


def test_it_costs_no_statement(application: Application) -> None:
    """For each message the handler's own, and the one that saves the position."""
    handler = Handled()
    consumer = consumer_of(handler)
    application.write("order-1", *range(1, 21))
    application.catch_up(consumer)
    all_ = counted(application.flavour.engine, "")

    def cost(number: int) -> int:
        application.write("order-1", *range(number))
        before = all_()
        application.catch_up(consumer)
        return all_() - before

    assert cost(12) - cost(2) == 2 * 10
