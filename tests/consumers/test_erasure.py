"""Streams are erased before, while and after consumers read them; none of them stops."""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text

from mdb_sqla import Consumer, Group, NoHandler
from mdb_sqla.consumers.dead_letter_queue import dead_letters, replay
from mdb_sqla.erasure import Erasure, erase_stream
from tests.consumers.history import wait_for_position
from tests.consumers.running import FEW, INSERT, Handled, consumer_of, run
from tests.waiting import wait_until

WHOLE = pytest.mark.parametrize("whole", [False, True], ids=["contents", "whole"])


def erase(application: Any, stream_name: str, **options: Any) -> Erasure:
    with application.engine.begin() as connection:
        return erase_stream(connection, stream_name, reason="request 7", **options)


def letters(application: Any) -> list[tuple[int, bool, str | None]]:
    with application.engine.connect() as connection:
        return [
            (letter.global_position, letter.failed, letter.error)
            for letter in dead_letters(connection)
        ]


def fail_for(*numbers: int) -> Any:
    def handle(message: Any, unit: Any) -> None:
        if message.data in numbers:
            raise ZeroDivisionError(f"Ada, number {message.data}")
        unit.session.execute(INSERT, {"number": message.data})

    return handle


@WHOLE
def test_what_was_erased_is_skipped(
    application: Any, arguments: dict[str, Any], lines: Any, whole: bool, caplog: Any
) -> None:
    caplog.set_level(logging.INFO, "mdb_sqla.consumer")
    application.write("order-1", 1, 2)
    application.write("order-2", 3)
    application.write("order-1", 4)
    erase(application, "order-1", whole=whole)
    application.write("order-1", 5)
    application.catch_up(consumer_of(Handled(), **arguments))
    assert application.effects() == [3, 5]
    assert application.position("billing") == 5
    assert lines.has("skips 3 erased messages, from 1 to 4") is not whole


def test_a_handler_that_accepts_what_was_erased(application: Any) -> None:
    application.write("order-1", 1, 2)
    application.write("order-2", 3)
    application.write("order-1", 4, type_="Other")
    erase(application, "order-1")
    seen: list[Any] = []
    consumer = Consumer("billing", "order")

    @consumer.on("T", erased=True)
    def handle(message: Any, unit: Any) -> None:
        seen.append((message.global_position, message.is_erased, message.data))

    @consumer.on()
    def handle_others(message: Any, unit: Any) -> None:
        raise AssertionError(message)

    application.catch_up(consumer)
    assert seen == [(1, True, {}), (2, True, {}), (3, False, 3)]


def test_a_strict_consumer_still_needs_a_handler(application: Any) -> None:
    application.write("order-1", 1, type_="Other")
    erase(application, "order-1")
    consumer = consumer_of(Handled(), strict=True)
    with pytest.raises(NoHandler):
        application.catch_up(consumer)


@WHOLE
def test_with_a_message_in_hand(application: Any, arguments: dict[str, Any], whole: bool) -> None:
    """Where its message is deleted, what the handler did is rolled back; all others are handled."""
    handled = Handled()

    def handle(message: Any, unit: Any) -> None:
        handled(message, unit)
        if message.data == 3:
            erase(application, "order-1", whole=whole)

    application.write("order-2", 1, 2)
    application.write("order-1", 3, 4)
    application.write("order-2", 5, 6)

    def script() -> None:
        handled.wait_for(6)
        wait_for_position(application, 6)
        application.write("order-1", 7)
        handled.wait_for(7)

    run(application, consumer_of(handle, **arguments), script)
    # What is read in one batch is handed out as it was when it was read.
    assert application.effects() == ([1, 2, 5, 6, 7] if whole else [1, 2, 3, 4, 5, 6, 7])


@WHOLE
def test_with_nothing_in_hand(application: Any, arguments: dict[str, Any], whole: bool) -> None:
    """The last message that it has read, by which it recognizes the store, is erased."""
    handled = Handled()

    def script() -> None:
        application.write("order-2", 1)
        application.write("order-1", 2)
        handled.wait_for(2)
        wait_for_position(application, 2)
        erase(application, "order-1", whole=whole)
        application.write("order-2", 3)
        handled.wait_for(3)
        application.write("order-1", 4)
        handled.wait_for(4)

    run(application, consumer_of(handled, **arguments), script)
    assert application.effects() == [1, 2, 3, 4]


@WHOLE
def test_everything_is_erased(application: Any, arguments: dict[str, Any], whole: bool) -> None:
    handled = Handled()

    def script() -> None:
        application.write("order-1", 1, 2)
        handled.wait_for(2)
        wait_for_position(application, 2)
        erase(application, "order-1", whole=whole)
        application.write("order-1", 3)
        handled.wait_for(3)

    run(application, consumer_of(handled, **arguments), script)
    assert application.effects() == [1, 2, 3]


@WHOLE
def test_a_group_with_several_slots(application: Any, whole: bool) -> None:
    handled = Handled()
    streams = [f"order-{number}" for number in range(8)]
    numbers = iter(range(1000))

    def handle(message: Any, unit: Any) -> None:
        handled(message, unit)
        if message.data == 4:
            erase(application, message.stream_name, whole=whole)

    def write() -> list[int]:
        written = []
        for stream in streams:
            written.append(next(numbers))
            application.write(stream, written[-1])
        return written

    def script() -> None:
        for number in write():
            if number != 4:
                handled.wait_for(number)
        for number in write():
            handled.wait_for(number)
        for stream in streams:
            erase(application, stream, whole=whole)
        for number in write():
            handled.wait_for(number)

    run(application, consumer_of(handle, group=Group(slots=4, lease=5)), script)
    kept = [number for number in range(24) if not (whole and number == 4)]
    assert sorted(application.effects()) == kept


def test_what_is_in_flight(application: Any) -> None:
    if not application.flavour.asynchronous:
        pytest.skip("only with run_async")
    handled = Handled()
    consumer = Consumer("billing", "order", max_in_flight=4, poll_interval=(0.002, 0.01))

    @consumer.on("T")
    async def deliver(message: Any) -> None:
        if message.data == 3:
            erase(application, "order-1", whole=True)
        handled.note(message)

    application.write("order-1", 1, 2, 3, 4)
    application.write("order-2", 5, 6)
    run(application, consumer, lambda: handled.wait_for(6))
    # None of those that are left is delivered twice.
    assert [number for number in sorted(handled.numbers) if number > 4] == [5, 6]


@WHOLE
def test_dead_letters(application: Any, whole: bool) -> None:
    """The stream is not blocked any longer, and no text of an error is left."""
    consumer = consumer_of(fail_for(1), on_failure="dead_letter")
    application.write("order-1", 1, 2)
    application.write("order-2", 3)
    application.catch_up(consumer)
    assert [letter[:2] for letter in letters(application)] == [(1, True), (2, False)]

    erase(application, "order-1", whole=whole)
    left = [] if whole else [(1, False, None), (2, False, None)]
    assert letters(application) == left
    application.write("order-1", 4)
    application.catch_up(consumer)
    assert letters(application) == []
    assert application.effects() == [3, 4]


def test_dead_letters_of_other_streams_stay(application: Any) -> None:
    consumer = consumer_of(fail_for(1, 2), on_failure="dead_letter")
    application.write("order-1", 1)
    application.write("order-2", 2)
    application.catch_up(consumer)
    erase(application, "order-1", whole=True)
    assert [letter[:2] for letter in letters(application)] == [(2, True)]


def test_a_replay_of_what_is_erased(application: Any) -> None:
    """The messages are deleted while the dead letters are being replayed."""
    erased: list[Erasure] = []
    consumer = consumer_of(fail_for(1), on_failure="dead_letter")
    application.write("order-1", 1, 2)
    application.catch_up(consumer)
    with application.engine.begin() as connection:
        replay(connection, "billing")

    def handle(message: Any, unit: Any) -> None:
        unit.session.execute(INSERT, {"number": message.data})
        if message.data == 1:
            erased.append(erase(application, "order-1", whole=True))

    again = consumer_of(handle, on_failure="dead_letter")
    application.write("order-2", 3)
    application.catch_up(again)
    assert [erasure.messages for erasure in erased] == [2]
    assert application.effects() == [3]
    assert letters(application) == []


# A consumer that has added a dead letter and saved its position, and not committed.
_HOLD = """
    CREATE FUNCTION public.hold() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF NEW.position > OLD.position THEN
        PERFORM pg_advisory_xact_lock(42);
      END IF;
      RETURN NULL;
    END $$
"""
_TRIGGER = """
    CREATE TRIGGER hold AFTER UPDATE ON message_store.consumer_slots
    FOR EACH ROW EXECUTE FUNCTION public.hold()
"""


def test_a_dead_letter_that_is_being_added(application: Any) -> None:
    """It would block its stream for ever: there is no message to handle or to skip."""
    consumer = Consumer("billing", "order", on_failure="dead_letter", retry_policy=FEW)
    consumer.on("T")(fail_for(1))
    application.write("order-1", 1)

    def waiting(kind: str) -> Any:
        statement = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = :kind")
        with application.engine.connect() as connection:
            return connection.scalar(statement, {"kind": kind})

    with application.engine.begin() as connection:
        connection.execute(text(_HOLD))
        connection.execute(text(_TRIGGER))
    try:
        with ThreadPoolExecutor(2) as threads, application.engine.connect() as holder:
            holder.execute(text("SELECT pg_advisory_lock(42)"))
            consuming: Future[None] = threads.submit(application.catch_up, consumer)
            wait_until(lambda: waiting("advisory"))
            erasing = threads.submit(erase, application, "order-1", whole=True)
            wait_until(lambda: waiting("relation") or erasing.done())
            holder.execute(text("SELECT pg_advisory_unlock(42)"))
            assert erasing.result().messages == 1
            consuming.result()
    finally:
        with application.engine.begin() as connection:
            connection.execute(text("DROP TRIGGER hold ON message_store.consumer_slots"))
    assert letters(application) == []
