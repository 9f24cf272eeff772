"""Handlers with effects elsewhere are called side by side, in order within a cardinal id."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError

from mdb_sqla import (
    Consumer,
    HandlerFailed,
    InvalidArgument,
    RetryPolicy,
    StoredMessage,
    Unavailable,
)
from mdb_sqla.consumers.dead_letter_queue import dead_letters, replay

Effect = Callable[[StoredMessage], Awaitable[None]]


class Sending:
    """A consumer whose handlers send what they get to somewhere else."""

    def __init__(self, application: Any, **arguments: Any) -> None:
        if not application.flavour.asynchronous:
            pytest.skip("what is in flight needs a loop")
        self.application = application
        self.began: list[int] = []
        self.sent: list[int] = []
        self.errors: dict[int, list[Any]] = {}
        self.meanwhile: Effect | None = None
        arguments.setdefault("max_in_flight", 4)
        arguments.setdefault(
            "retry_policy", RetryPolicy(max_attempts=2, initial_interval=0.001, max_interval=0.001)
        )
        arguments.setdefault("poll_interval", (0.001, 0.01))
        self.consumer = Consumer("sending", "order", **arguments)
        self.consumer.on()(self.send)

    async def send(self, message: StoredMessage, _unit: object = None) -> None:
        number: Any = message.data
        self.began.append(number)
        if self.meanwhile is not None:
            await self.meanwhile(message)
        if self.errors.get(number):
            raise self.errors[number].pop(0)
        self.sent.append(number)

    def write(self, *messages: tuple[str, int]) -> None:
        for stream, number in messages:
            self.application.write(stream, number)

    def catch_up(self) -> list[int]:
        self.application.catch_up(self.consumer)
        return self.sent

    @property
    def position(self) -> int | None:
        position: int | None = self.application.position("sending")
        return position


FOREVER = [ZeroDivisionError(str(number)) for number in range(100)]


@pytest.fixture
def sending(application: Any) -> Sending:
    return Sending(application)


def test_streams_side_by_side(sending: Sending) -> None:
    """All four begin before the first of them ends."""
    sending.write(("order-1", 1), ("order-2", 2), ("order-3", 3), ("order-4", 4))
    all_began = asyncio.Event()

    async def wait(message: StoredMessage) -> None:
        if len(sending.began) == 4:
            all_began.set()
        await asyncio.wait_for(all_began.wait(), 30)

    sending.meanwhile = wait
    assert sorted(sending.catch_up()) == [1, 2, 3, 4]
    assert sending.position == 4


def test_one_cardinal_id_one_after_another(sending: Sending) -> None:
    sending.write(("order-1", 1), ("order-1+2", 2), ("order-1", 3), ("order-2", 4))
    in_hand: set[str] = set()

    async def wait(message: StoredMessage) -> None:
        cardinal_id = message.stream_name[6]
        assert cardinal_id not in in_hand
        in_hand.add(cardinal_id)
        await asyncio.sleep(0)  # the others' turn
        in_hand.discard(cardinal_id)

    sending.meanwhile = wait
    sent = sending.catch_up()
    assert [number for number in sent if number != 4] == [1, 2, 3]
    assert sorted(sent) == [1, 2, 3, 4]


def test_the_position_waits_for_all_of_them(sending: Sending) -> None:
    sending.write(*((f"order-{number}", number) for number in range(1, 9)))
    seen = []

    async def look(message: StoredMessage) -> None:
        if message.data == 4:
            await asyncio.sleep(0)  # the others' turn
            seen.append((sorted(sending.sent), sending.position))
        if message.data == 8:
            seen.append((sorted(sending.sent)[:4], sending.position))

    sending.meanwhile = look
    sending.catch_up()
    assert seen == [([1, 2, 3], 0), ([1, 2, 3, 4], 4)]
    assert sending.position == 8


def test_what_succeeded_is_not_repeated_with_what_failed(sending: Sending) -> None:
    sending.write(("order-1", 1), ("order-2", 2), ("order-1", 3), ("order-3", 4))
    sending.errors = {1: [ZeroDivisionError()]}

    assert sorted(sending.catch_up()) == [1, 2, 3, 4]
    assert sorted(sending.began) == [1, 1, 2, 3, 4]
    assert sending.sent.index(1) < sending.sent.index(3)


def test_the_position_is_before_what_failed_for_good(sending: Sending) -> None:
    """What was done before it is saved, what was done after it is done again by the next run."""
    sending.write(("order-1", 1), ("order-2", 2), ("order-2", 3), ("order-3", 4))
    sending.errors = {2: FOREVER[:2]}

    with pytest.raises(HandlerFailed) as failure:
        sending.catch_up()
    assert failure.value.message.data == 2
    assert failure.value.attempts == 2
    assert sorted(sending.sent) == [1, 4]
    assert sending.position == 1

    assert sending.catch_up()[2:] in ([2, 3, 4], [2, 4, 3], [4, 2, 3])
    assert sending.position == 4


def test_what_failed_is_set_aside_with_its_stream(application: Any) -> None:
    sending = Sending(application, on_failure="dead_letter")
    sending.write(("order-1", 1), ("order-2", 2), ("order-2", 3), ("order-2+1", 4), ("order-3", 5))
    sending.errors = {2: FOREVER[:], 5: FOREVER[2:]}

    assert sorted(sending.catch_up()) == [1, 4]
    assert sending.position == 5
    assert sending.began.count(1) == sending.began.count(4) == 1
    with application.engine.begin() as connection:
        letters = [
            (each.global_position, each.failed) for each in dead_letters(connection, "sending")
        ]
        assert letters == [(2, True), (3, False), (5, True)]
        sending.errors = {}
        assert replay(connection, "sending") == 2

    assert sending.catch_up()[2:] == [2, 3, 5]
    with application.engine.connect() as connection:
        assert not list(dead_letters(connection, "sending"))


def test_what_was_done_before_a_later_one_of_its_stream_failed(application: Any) -> None:
    """It is not set aside with it, and so not done again when that is replayed."""
    sending = Sending(application, on_failure="dead_letter")
    sending.write(("order-1", 1), ("order-1", 2), ("order-1", 3), ("order-2", 4))
    sending.errors = {2: FOREVER[:2]}

    assert sorted(sending.catch_up()) == [1, 4]
    with application.engine.begin() as connection:
        letters = [each.global_position for each in dead_letters(connection, "sending")]
        assert letters == [2, 3]
        replay(connection, "sending")
    assert sending.catch_up()[2:] == [2, 3]
    assert sending.position == 4


def test_all_of_many_fail(application: Any) -> None:
    """However many there are, none is called more often than it must be."""
    sending = Sending(
        application,
        on_failure="dead_letter",
        max_in_flight=400,
        retry_policy=RetryPolicy(2, 0.001, 0.001),
    )
    with application.engine.begin() as connection:
        connection.execute(
            text(
                "SELECT message_store.write_message("
                "gen_random_uuid()::varchar, 'order-' || n, 'T', to_jsonb(n)) "
                "FROM generate_series(1, 400) AS n"
            )
        )
    sending.errors = {
        number: [ZeroDivisionError(), ZeroDivisionError()] for number in range(1, 401)
    }

    assert sending.catch_up() == []
    assert len(sending.began) == 800
    assert sending.position == 400
    with application.engine.connect() as connection:
        letters = list(dead_letters(connection, "sending"))
    assert [(each.failed, each.attempts) for each in letters] == [(True, 2)] * 400


def test_each_is_tried_as_often(application: Any) -> None:
    """The second message fails for the first time when the third has failed for good."""
    sending = Sending(application, on_failure="dead_letter")
    sending.write(("order-1", 1), ("order-1+2", 2), ("order-3", 3))
    sending.errors = {1: FOREVER[:1], 2: FOREVER[1:2], 3: FOREVER[2:4]}

    assert sending.catch_up() == [1, 2]
    with application.engine.connect() as connection:
        letters = list(dead_letters(connection, "sending"))
    assert [each.global_position for each in letters] == [3]


def test_each_is_tried_as_often_before_it_stops(sending: Sending) -> None:
    """The second message fails for the first time where the first would have for good."""
    sending.write(("order-1", 1), ("order-1+2", 2))
    sending.errors = {1: FOREVER[:1], 2: FOREVER[1:2]}

    assert sending.catch_up() == [1, 2]


def test_a_position_that_can_not_be_saved(application: Any) -> None:
    """No message is at fault: none is set aside, and it does not go on without an end."""
    sending = Sending(application, on_failure="dead_letter")
    sending.write(("order-1", 1))

    async def catch_up() -> None:
        async with asyncio.timeout(30):
            await sending.consumer.catch_up_async(application.factory)

    table = "ALTER TABLE message_store.consumer_slots"
    with application.engine.begin() as connection:
        connection.execute(text(f"{table} ADD CONSTRAINT still CHECK (position = 0)"))
    try:
        with pytest.raises(HandlerFailed) as failure:
            application.flavour.run(catch_up())
    finally:
        with application.engine.begin() as connection:
            connection.execute(text(f"{table} DROP CONSTRAINT still"))
    assert isinstance(failure.value.__cause__, IntegrityError)
    assert sending.began == [1]


@pytest.mark.parametrize("max_in_flight", [4, None], ids=["in flight", "in a transaction"])
def test_what_is_away_is_waited_for(application: Any, max_in_flight: int | None) -> None:
    """More often than there are attempts; nothing is set aside, and nobody overtakes."""
    sending = Sending(application, max_in_flight=max_in_flight, on_failure="dead_letter")
    sending.write(("order-1", 1), ("order-2", 2), ("order-1", 3))
    sending.errors = {1: [Unavailable("The other side is away") for _ in range(5)]}

    sent = sending.catch_up()
    assert [number for number in sent if number != 2] == [1, 3]
    assert sent.count(2) == 1
    assert sending.position == 3
    with application.engine.connect() as connection:
        assert not list(dead_letters(connection, "sending"))


def test_what_is_away_comes_before_what_failed(sending: Sending) -> None:
    """Or the consumer would end, and what is away is often why the other failed."""
    sending.write(("order-1", 1), ("order-2", 2))
    sending.errors = {1: FOREVER[:2], 2: [Unavailable() for _ in range(3)]}

    assert sorted(sending.catch_up()) == [1, 2]


def test_a_handler_that_is_cancelled_by_itself(sending: Sending) -> None:
    """Not taken for done."""
    sending.write(("order-1", 1), ("order-2", 2))
    sending.errors = {1: [asyncio.CancelledError()]}

    assert sorted(sending.catch_up()) == [1, 2]
    assert sorted(sending.began) == [1, 1, 2]


def test_a_handler_that_cancels_its_own_task(sending: Sending) -> None:
    """It is not done, and the position does not pass it."""
    sending.write(("order-1", 1), ("order-2", 2))

    async def cancel(message: StoredMessage) -> None:
        if message.data == 1 and sending.began.count(1) == 1:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)

    sending.meanwhile = cancel
    assert sorted(sending.catch_up()) == [1, 2]
    assert sending.began.count(1) == 2


def test_the_position_is_before_what_was_cancelled(sending: Sending) -> None:
    """Also if a later message fails for good at the same time."""
    sending.write(("order-1", 1), ("order-2", 2), ("order-3", 3))
    sending.errors = {3: FOREVER[:2]}

    async def cancel(message: StoredMessage) -> None:
        if message.data == 2:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)

    sending.meanwhile = cancel
    with pytest.raises(HandlerFailed) as failure:
        sending.catch_up()
    assert failure.value.message.data == 2
    assert failure.value.attempts == 2
    assert sending.position == 1

    sending.meanwhile = None
    assert sorted(sending.catch_up()) == [1, 2, 3]


def test_the_position_is_before_what_has_not_begun(application: Any) -> None:
    """A database that a later message needs fails while an earlier one waits for its turn."""
    sending = Sending(application, retry_policy=RetryPolicy(max_attempts=1))
    sending.write(("order-1", 1), ("order-1", 2), ("order-2", 3), ("order-3", 4))
    sending.errors = {
        3: [ZeroDivisionError()],
        4: [OperationalError("SELECT", {}, psycopg.errors.AdminShutdown())],
    }
    others_failed = asyncio.Event()

    async def wait(message: StoredMessage) -> None:
        if message.data == 1:
            await asyncio.wait_for(others_failed.wait(), 30)
        if message.data == 4:
            others_failed.set()

    sending.meanwhile = wait
    with pytest.raises(HandlerFailed):
        sending.catch_up()
    assert sending.began == [1, 3, 4]
    assert sending.position == 1

    sending.meanwhile = None
    assert sorted(sending.catch_up()) == [1, 2, 3, 4]


def test_the_run_is_cancelled(sending: Sending) -> None:
    sending.write(("order-1", 1), ("order-2", 2))
    held = asyncio.Event()

    async def hold(message: StoredMessage) -> None:
        if message.data == 2:
            held.set()
            await asyncio.Event().wait()

    async def cancel() -> None:
        run = asyncio.create_task(sending.consumer.run_async(sending.application.factory))
        await asyncio.wait_for(held.wait(), 30)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    sending.meanwhile = hold
    sending.application.flavour.run(cancel())
    assert sending.position == 0
    assert sending.consumer.state == "stopped"

    sending.meanwhile = None
    assert sorted(sending.catch_up()) == [1, 1, 2]
    assert sending.position == 2


def test_a_connection_lost_meanwhile(sending: Sending) -> None:
    """What was sent is not sent again by the same process."""
    sending.write(("order-1", 1), ("order-2", 2), ("order-3", 3))

    async def cut(message: StoredMessage) -> None:
        if message.data == 1:
            with sending.application.engine.connect() as connection:
                connection.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE pid <> pg_backend_pid() AND datname = current_database()"
                    )
                )

    sending.meanwhile = cut
    assert sorted(sending.catch_up()) == [1, 2, 3]
    assert sending.position == 3


def test_no_transaction_is_open_while_it_is_in_flight(sending: Sending) -> None:
    sending.write(("order-1", 1))
    open_ = []

    async def look(message: StoredMessage) -> None:
        with sending.application.engine.connect() as connection:
            open_.extend(
                connection.scalars(
                    text(
                        "SELECT state FROM pg_stat_activity WHERE datname = current_database() "
                        "AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%' "
                        "AND query !~ 'pg_notify'"  # of the thread that wakes consumers
                    )
                )
            )

    sending.meanwhile = look
    sending.catch_up()
    assert (sending.sent, open_) == ([1], [])


def test_what_it_needs(application: Any) -> None:
    with pytest.raises(
        InvalidArgument, match="max_in_flight must be an integer of at least 1, got 0"
    ):
        Consumer("sending", max_in_flight=0)
    with pytest.raises(
        InvalidArgument, match="transaction_size and max_in_flight are mutually exclusive"
    ):
        Consumer("sending", max_in_flight=2, transaction_size=2)
    consumer = Consumer("sending", "order", max_in_flight=2)
    if not application.flavour.asynchronous:
        with pytest.raises(InvalidArgument, match="run_async"):
            application.catch_up(consumer)
        return
    consumer.on()(print)
    with pytest.raises(InvalidArgument, match="async def"):
        application.catch_up(consumer)
