"""A consumer is paused between its attempts, while it waits, and while it replays dead letters."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import text

from mdb_sqla import RetryPolicy, Unavailable
from mdb_sqla.admin import dead_letters, pause_consumer, replay
from mdb_sqla.consumers.dead_letter_queue import DeadLetter
from tests.consumers.conftest import Application, Lines
from tests.consumers.pauses import PAUSED, SLOW, pause, pause_slowly, resume
from tests.consumers.running import Handled, consumer_of, run
from tests.waiting import wait_until

# So that a test can wait for what is logged of a pause.
pytestmark = pytest.mark.usefixtures("logged_information")


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
