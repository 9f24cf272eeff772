"""A consumer that is paused from another process handles nothing until it is resumed."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import URL, Engine, create_engine, event, func, select, text
from sqlalchemy.orm import sessionmaker

from mdb_sqla import (
    Consumer,
    ConsumerPaused,
    Group,
    Host,
    InvalidArgument,
    Message,
    MessageStore,
    RetryPolicy,
    StoreNotInstalled,
    Unavailable,
    tables,
)
from mdb_sqla.admin import (
    consumers,
    dead_letters,
    operations,
    pause_consumer,
    replay,
    resume_consumer,
)
from mdb_sqla.consumers import run_control
from mdb_sqla.consumers.dead_letter_queue import DeadLetter
from mdb_sqla.consumers.run_control import MAX_AGE
from mdb_sqla.migrations import store_history
from mdb_sqla.migrations.store_transaction import store_transaction
from mdb_sqla.testing.catch_up import catch_up, catch_up_async
from tests.consumers.conftest import Application, Lines
from tests.consumers.running import Handled, consumer_of, run
from tests.consumers.test_reset import set_back
from tests.waiting import wait_until

PAUSED = "is paused since .* by alice"
RESUMED = "was resumed"
SLOW = (0.002, 60.0)
"""Within a test, a consumer that polls so seldom only notices what it is notified of."""


@pytest.fixture(autouse=True)
def _with_information(caplog: pytest.LogCaptureFixture) -> None:
    """So that a test can wait for what is logged of a pause."""
    caplog.set_level(logging.INFO, "mdb_sqla.consumer")


def pause(application: Application, consumer: str = "billing") -> None:
    with application.engine.begin() as connection:
        assert pause_consumer(connection, consumer, by="alice")


def resume(application: Application, consumer: str = "billing") -> None:
    with application.engine.begin() as connection:
        assert resume_consumer(connection, consumer)


def pause_slowly(application: Application) -> None:
    """Pause the consumer in a message that takes so long that the next statement returns it."""
    pause(application)
    threading.Event().wait(2 * MAX_AGE)


class Pausing(Handled):
    """A handler that pauses its consumer, from another connection, in the middle of a message."""

    def __init__(self, application: Application, at: int) -> None:
        super().__init__()
        self._application = application
        self._at: int | None = at

    def __call__(self, message: Any, unit: Any) -> None:
        super().__call__(message, unit)
        if message.data == self._at:
            self._at = None
            pause_slowly(self._application)


@pytest.fixture
def quiet(application: Application) -> Application:
    """The application without notifications: consumers only notice what their statements return."""
    options = {"message_store_wake_up": False}
    kept = application.flavour.engine
    quiet = kept.execution_options(**options)
    application.factory.configure(bind=quiet)
    return application


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


def test_between_two_attempts(quiet: Application, lines: Lines) -> None:
    """The attempts before the pause don't count."""
    attempts: list[int] = []
    is_fixed = False
    policy = RetryPolicy(max_attempts=3, initial_interval=0.001, max_interval=0.001)
    consumer = consumer_of(lambda *_: None, retry_policy=policy)

    @consumer.on("Fail")
    def fail(message: Any, unit: Any) -> None:
        attempts.append(message.data)
        if len(attempts) == 2:
            pause(quiet)
        if not is_fixed and len(attempts) < 5:
            raise ZeroDivisionError

    quiet.write("order-1", 1, type_="Fail")

    def script() -> None:
        lines.wait_for(PAUSED)
        assert len(attempts) == 2
        resume(quiet)
        wait_until(lambda: quiet.position("billing") == 1)

    run(quiet, consumer, script)
    assert len(attempts) == 5


def test_during_a_long_back_off(application: Application, lines: Lines) -> None:
    """It is paused at once, and handles the message at once when it is resumed."""
    failed = threading.Event()
    is_fixed = False
    policy = RetryPolicy(max_attempts=3, initial_interval=60, max_interval=60)
    consumer = consumer_of(lambda *_: None, retry_policy=policy, poll_interval=SLOW)

    @consumer.on("Fail")
    def fail(message: Any, unit: Any) -> None:
        if not is_fixed:
            failed.set()
            raise ZeroDivisionError

    application.write("order-1", 1, type_="Fail")

    def script() -> None:
        nonlocal is_fixed
        assert failed.wait(20)
        lines.wait_for("could not handle")
        pause(application)
        lines.wait_for(PAUSED)
        is_fixed = True
        resume(application)
        wait_until(lambda: application.position("billing") == 1)

    run(application, consumer, script)


def test_while_a_resource_is_unavailable(quiet: Application, lines: Lines) -> None:
    calls: list[int] = []
    consumer = consumer_of(lambda *_: None)

    @consumer.on("Call")
    def call(message: Any, unit: Any) -> None:
        calls.append(message.data)
        if len(calls) == 1:
            pause(quiet)
            raise Unavailable("The other side is down")

    quiet.write("order-1", 1, type_="Call")

    def script() -> None:
        lines.wait_for(PAUSED)
        assert len(calls) == 1
        resume(quiet)
        wait_until(lambda: len(calls) == 2)

    run(quiet, consumer, script)


def letters_of(application: Application) -> list[DeadLetter]:
    with application.engine.connect() as connection:
        return dead_letters(connection, "billing")


@pytest.mark.parametrize("is_paused_before", [True, False])
def test_dead_letters_are_not_replayed(
    quiet: Application, lines: Lines, is_paused_before: bool
) -> None:
    is_fixed = False
    handled: list[int] = []
    policy = RetryPolicy(max_attempts=1)
    consumer = consumer_of(lambda *_: None, on_failure="dead_letter", retry_policy=policy)

    @consumer.on("Fail")
    def fail(message: Any, unit: Any) -> None:
        if not is_fixed:
            raise ZeroDivisionError
        handled.append(message.data)
        if len(handled) == 1 and not is_paused_before:
            pause(quiet)

    quiet.write("order-1", 1, type_="Fail")
    quiet.write("order-2", 2, type_="Fail")

    def script() -> None:
        nonlocal is_fixed
        wait_until(lambda: len(letters_of(quiet)) == 2)
        is_fixed = True
        with quiet.engine.begin() as connection:
            if is_paused_before:
                pause_consumer(connection, "billing", by="alice")
            replay(connection, "billing")
        lines.wait_for(PAUSED)
        assert handled == ([] if is_paused_before else [1])
        assert len(letters_of(quiet)) == 2 - len(handled)
        resume(quiet)
        wait_until(lambda: not letters_of(quiet))

    run(quiet, consumer, script)
    assert handled == [1, 2]


def test_a_failed_transaction_is_not_split_up(quiet: Application, lines: Lines) -> None:
    """Each message of it is handled in its own transaction, and the pause comes between two."""
    handled: list[int] = []
    policy = RetryPolicy(max_attempts=1)
    consumer = consumer_of(
        lambda *_: None, on_failure="dead_letter", retry_policy=policy, transaction_size=3
    )
    together = [True]

    @consumer.on("Fail")
    def fail(message: Any, unit: Any) -> None:
        if message.data == 3 and together:
            together.clear()
            raise ZeroDivisionError
        if not together:
            handled.append(message.data)
            if message.data == 1:
                pause_slowly(quiet)

    quiet.write("order-1", 1, 2, 3, type_="Fail")

    def script() -> None:
        lines.wait_for(PAUSED)
        assert handled == [1]
        resume(quiet)
        wait_until(lambda: quiet.position("billing") == 3)

    run(quiet, consumer, script)
    assert handled == [1, 2, 3]


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


def test_it_stays_paused_after_a_restart(application: Application, lines: Lines) -> None:
    handler = Handled()
    consumer = consumer_of(handler, poll_interval=SLOW)
    application.write("order-1", 1)
    application.catch_up(consumer)
    pause(application)
    application.write("order-1", 2)

    def stop_at_once() -> None:
        lines.wait_for(PAUSED)

    run(application, consumer, stop_at_once)  # and it stops while it is paused
    lines.wait_for("stopped")
    assert (consumer.state, handler.numbers) == ("stopped", [1])

    def script() -> None:
        lines.wait_for(PAUSED, 2)
        resume(application)
        handler.wait_for(2)

    run(application, consumer, script)
    assert handler.numbers == [1, 2]


@pytest.mark.parametrize("grouped", [False, True])
def test_it_does_not_catch_up(application: Application, grouped: bool) -> None:
    group = Group(slots=4, lease=5) if grouped else None
    handler = Pausing(application, at=2)
    consumer = consumer_of(handler, group=group)
    application.write("order-1", 1, 2, 3)

    with pytest.raises(ConsumerPaused, match=r"can't catch up: it is paused .* by alice") as raised:
        application.catch_up(consumer)

    assert raised.value.consumer == "billing"
    assert raised.value.paused_by == "alice"
    assert handler.numbers == [1, 2]
    assert application.effects() == [1, 2]
    with pytest.raises(ConsumerPaused):
        application.catch_up(consumer)
    in_test: Any = catch_up_async if application.flavour.asynchronous else catch_up
    with pytest.raises(ConsumerPaused):
        application.flavour.run(in_test(application.factory, consumer))
    members = tables.consumer_members.c
    with application.engine.connect() as connection:
        assert connection.scalars(select(members.member)).all() == []
    assert handler.numbers == [1, 2]
    resume(application)
    application.catch_up(consumer)
    assert handler.numbers == [1, 2, 3]


def test_it_is_reset_while_it_is_paused(application: Application, lines: Lines) -> None:
    handler = Pausing(application, at=3)
    consumer = consumer_of(handler, poll_interval=SLOW)
    application.write("order-1", 1, 2, 3, 4)

    def script() -> None:
        lines.wait_for(PAUSED)
        set_back(application, "billing", 2)
        assert consumer.state == "paused"
        resume(application)
        handler.wait_for(4)

    run(application, consumer, script)
    assert handler.numbers == [1, 2, 3, 2, 3, 4]


def test_members_keep_their_slots(application: Application, lines: Lines) -> None:
    """For longer than their lease; all members are paused, and one that joins is, too."""
    lease = 0.6
    handler = Handled()

    def member(name: str) -> Consumer:
        return consumer_of(handler, group=Group(slots=4, lease=lease, member=name))

    first, second = member("first"), member("second")
    slots = tables.consumer_slots.c

    def owners() -> list[str | None]:
        with application.engine.connect() as connection:
            return list(connection.scalars(select(slots.owner).order_by(slots.slot)))

    def alive() -> set[str]:
        with application.engine.connect() as connection:
            (found,) = consumers(connection)
        return {each.name for each in found.members if each.is_alive}

    for number in range(1, 9):
        application.write(f"order-{number}", number)

    def script() -> None:
        for number in range(1, 9):
            handler.wait_for(number)
        pause(application)
        lines.wait_for(PAUSED)
        for number in range(11, 19):
            application.write(f"order-{number}", number)
        engine = create_engine(application.engine.url)
        running = threading.Thread(target=second.run, args=(sessionmaker(engine),))
        running.start()
        try:
            lines.wait_for("started as member second")
            joined = threading.Event()
            assert not joined.wait(2 * lease)
            assert (owners(), alive()) == (["first"] * 4, {"first", "second"})
            assert (len(handler.numbers), first.state) == (8, "paused")
            resume(application)
            for number in range(11, 19):
                handler.wait_for(number)
            wait_until(lambda: set(owners()) == {"first", "second"})
        finally:
            second.stop()
            running.join(20)
            engine.dispose()

    run(application, first, script)
    assert sorted(handler.numbers) == [*range(1, 9), *range(11, 19)]


def test_both_ways_to_pause(application: Application, lines: Lines) -> None:
    """It handles messages again when it is resumed in both ways, in either order."""
    handler = Handled()
    consumer = consumer_of(handler, poll_interval=SLOW)
    application.write("order-1", 1)

    def script() -> None:
        handler.wait_for(1)
        consumer.pause()
        pause(application)
        application.write("order-1", 2)
        consumer.resume()
        lines.wait_for(PAUSED)
        assert (consumer.state, handler.numbers) == ("paused", [1])
        consumer.pause()
        resume(application)
        lines.wait_for(RESUMED)
        assert (consumer.state, handler.numbers) == ("paused", [1])
        consumer.resume()
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


def test_an_outage_does_not_resume_it(application: Application, lines: Lines) -> None:
    handler = Handled()
    consumer = consumer_of(handler)
    application.write("order-1", 1)

    def script() -> None:
        handler.wait_for(1)
        pause(application)
        lines.wait_for(PAUSED)
        with application.engine.connect() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        application.write("order-1", 2)
        lines.wait_for("was interrupted")
        lines.wait_for(PAUSED, 2)
        assert (consumer.state, handler.numbers) == ("paused", [1])
        resume(application)
        handler.wait_for(2)

    run(application, consumer, script)


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


def test_the_status_of_a_host(application: Application, lines: Lines) -> None:
    if application.flavour.asynchronous:
        pytest.skip("it is the same status")
    handler = Handled()
    consumer = consumer_of(handler)
    host = Host(application.factory, consumer)
    application.write("order-1", 1)

    def script() -> None:
        handler.wait_for(1)
        pause(application)
        lines.wait_for(PAUSED)
        status = host.status()
        assert status.is_healthy
        assert [each.state for each in status.consumers] == ["paused"]

    run(application, consumer, script)


def test_a_store_of_the_version_before(empty_database: URL) -> None:
    engine = create_engine(empty_database)
    with store_transaction(engine, "message_store") as connection:
        store_history.upgrade(connection, "message_store", version="0002")
    with engine.begin() as connection:
        MessageStore(connection).write("order-1", Message("T"))
    consumer = Consumer("billing", "order")
    consumer.on("T")(lambda message, unit: None)

    outdated = r'not up to date; call migrations\.upgrade\("0004"\)'
    with pytest.raises(StoreNotInstalled, match=outdated):
        consumer.catch_up(sessionmaker(engine))
    with engine.begin() as connection, pytest.raises(StoreNotInstalled, match=outdated):
        pause_consumer(connection, "billing")
    with engine.begin() as connection, pytest.raises(StoreNotInstalled, match=outdated):
        operations(connection)
    engine.dispose()


def test_who_has_paused_it(application: Application, handler: Any) -> None:
    consumer = Consumer("billing", "order")
    consumer.on("T")(handler)
    application.catch_up(consumer)
    with application.engine.begin() as connection:
        user = connection.scalar(select(func.session_user()))
        assert pause_consumer(connection, "billing")
        (found,) = consumers(connection)
        assert (found.paused_by, found.paused_at is not None) == (user, True)

        assert not pause_consumer(connection, "billing", by="bob")
        assert consumers(connection) == [found]

        assert resume_consumer(connection, "billing", by="bob")
        (found,) = consumers(connection)
        assert (found.paused_by, found.paused_at) == (None, None)
        assert not resume_consumer(connection, "billing")
        recorded = [(each.kind, each.performed_by) for each in operations(connection)]
        assert recorded == [("resume_consumer", "bob"), ("pause_consumer", user)]


@pytest.mark.parametrize("change", [pause_consumer, resume_consumer])
def test_what_can_not_be_paused(engine: Engine, change: Any) -> None:
    with engine.begin() as connection:
        with pytest.raises(InvalidArgument, match="There is no consumer 'biling'"):
            change(connection, "biling")
        for wrong in ("", 1, "a\0"):
            with pytest.raises(InvalidArgument, match="consumer must be a non-empty string"):
                change(connection, wrong)
            with pytest.raises(InvalidArgument, match="by must be a non-empty string"):
                change(connection, "billing", by=wrong)
        with pytest.raises(InvalidArgument, match="db must be a Session or a Connection"):
            change(engine, "billing")
        assert operations(connection) == []
