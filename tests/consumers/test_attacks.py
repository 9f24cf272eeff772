"""What went wrong once: each would lose or repeat an effect, or end or block a consumer."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from mdb_sqla import (
    Consumer,
    Group,
    HandlerFailed,
    InvalidArgument,
    Message,
    MessageStore,
    RetryPolicy,
    SlotLost,
)
from mdb_sqla.consumers.dead_letter_queue import dead_letters, replay, skip
from mdb_sqla.consumers.group import Membership

FAST = RetryPolicy(max_attempts=2, initial_interval=0.001, max_interval=0.001)
INSERT = text("INSERT INTO effects (number) VALUES (:number)")


def leave(message: Any, unit: Any) -> None:
    unit.session.execute(INSERT, {"number": message.data})


def consumer_of(application: Any, **arguments: Any) -> Consumer:
    consumer = Consumer("billing", "order", **{"retry_policy": FAST, **arguments})
    consumer.on("T")(leave)
    return consumer


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"group": Group(slots=4)}),
        ({"group": Group(slots=2)}, {"group": Group(slots=4)}),
        (
            {"consumer_group_member": 1, "consumer_group_size": 2},
            {"consumer_group_member": 3, "consumer_group_size": 4},
        ),
    ],
)
def test_another_number_of_slots_handles_nothing_again(
    application: Any, first: Any, second: Any
) -> None:
    for number in range(20):
        application.write(f"order-{number}", number)
    application.catch_up(consumer_of(application, **first))
    done = application.effects()
    assert done

    with pytest.raises(InvalidArgument, match="partitioned into"):
        application.catch_up(consumer_of(application, **second))
    assert application.effects() == done


class AsyncCallable:
    async def __call__(self, message: Any, unit: Any) -> None:
        await unit.session.execute(INSERT, {"number": message.data})


def test_an_object_that_is_called_asynchronously(application: Any) -> None:
    consumer = Consumer("billing", "order", retry_policy=FAST)
    consumer.on("T")(AsyncCallable())
    application.write("order-1", 1)

    if application.flavour.asynchronous:
        application.catch_up(consumer)
        assert application.effects() == [1]
    else:
        with pytest.raises(InvalidArgument, match="is async"):
            application.catch_up(consumer)


def test_a_coroutine_that_nobody_would_await(application: Any) -> None:
    consumer = Consumer("billing", "order", retry_policy=FAST)
    handler = AsyncCallable()
    consumer.on("T")(lambda message, unit: handler(message, unit))
    application.write("order-1", 1)

    with pytest.raises(HandlerFailed) as error:
        application.catch_up(consumer)
    assert "async def" in str(error.value.__cause__)
    assert application.position("billing") == 0


def test_the_failing_message_of_several_is_named(application: Any) -> None:
    consumer = Consumer("billing", "order", transaction_size=10, retry_policy=FAST)

    @consumer.on("T")
    def fail(message: Any, unit: Any) -> None:
        if message.data == 3:
            raise ZeroDivisionError

    application.write("order-1", 1, 2, 3, 4)
    with pytest.raises(HandlerFailed) as error:
        application.catch_up(consumer)
    assert error.value.message.data == 3


def test_a_handlers_own_operational_error_is_no_outage(application: Any) -> None:
    consumer = Consumer("billing", "order", on_failure="dead_letter", retry_policy=FAST)

    @consumer.on("T")
    def fail(message: Any, unit: Any) -> None:
        if message.data == 1:
            raise OperationalError("of another database", None, Exception("no such table"))
        leave(message, unit)

    application.write("order-1", 1)
    application.write("order-2", 2)
    application.catch_up(consumer)

    assert application.effects() == [2]


def test_a_handler_that_always_loses_its_connection_is_set_aside(application: Any) -> None:
    if application.flavour.asynchronous:
        pytest.skip("one flavour will do")
    consumer = Consumer(
        "billing", "order", on_failure="dead_letter", retry_policy=FAST, poll_interval=(0.001, 0.01)
    )

    @consumer.on("T")
    def lose(message: Any, unit: Any) -> None:
        leave(message, unit)
        if message.data == 1:
            pid = unit.session.scalar(text("SELECT pg_backend_pid()"))
            with application.engine.connect() as connection:
                connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})

    application.write("order-1", 1)
    application.write("order-2", 2)
    application.catch_up(consumer)

    assert application.effects() == [2]


def test_a_message_is_skipped_while_it_is_handled_again(application: Any) -> None:
    consumer = Consumer("billing", "order", on_failure="dead_letter", retry_policy=FAST)
    calls: list[int] = []

    @consumer.on("T")
    def handle(message: Any, unit: Any) -> None:
        calls.append(message.data)
        if len(calls) <= 2:
            raise ZeroDivisionError
        if message.data == 1:
            with application.engine.begin() as connection:
                skip(connection, "billing", 1)

    application.write("order-1", 1)
    application.catch_up(consumer)
    with application.engine.begin() as connection:
        assert replay(connection, "billing") == 1
    application.write("order-2", 2)
    application.catch_up(consumer)

    assert calls == [1, 1, 1, 2]


def test_who_was_taken_over_handles_no_dead_letter(application: Any) -> None:
    consumer = Consumer("billing", "order", on_failure="dead_letter", retry_policy=FAST)
    calls: list[int] = []

    @consumer.on("T")
    def handle(message: Any, unit: Any) -> None:
        calls.append(message.data)
        if len(calls) <= 2:
            raise ZeroDivisionError
        with application.engine.begin() as connection:
            connection.execute(text("UPDATE message_store.consumer_slots SET token = token + 1"))

    application.write("order-1", 1)
    application.catch_up(consumer)
    with application.engine.begin() as connection:
        replay(connection, "billing")
    with pytest.raises(SlotLost):
        application.catch_up(consumer)

    with application.engine.connect() as connection:
        assert len(dead_letters(connection)) == 1


def test_catching_up_handles_all_that_is_due(application: Any) -> None:
    consumer = Consumer(
        "billing", "order", on_failure="dead_letter", retry_policy=FAST, batch_size=2
    )
    failing = [True]

    @consumer.on("T")
    def handle(message: Any, unit: Any) -> None:
        if failing[0]:
            raise ZeroDivisionError
        assert unit is not None

    application.write("order-1", 1, 2, 3, 4, 5)
    application.catch_up(consumer)
    failing[0] = False
    with application.engine.begin() as connection:
        replay(connection, "billing")
    application.catch_up(consumer)

    with application.engine.connect() as connection:
        assert dead_letters(connection) == []


@pytest.mark.parametrize("told", ["a\0b", "a\ud800b"])
def test_any_error_text_can_be_set_aside(application: Any, told: str) -> None:
    consumer = Consumer("billing", "order", on_failure="dead_letter", retry_policy=FAST)

    @consumer.on("T")
    def fail(message: Any, unit: Any) -> None:
        raise ValueError(told)

    application.write("order-1", 1)
    application.catch_up(consumer)

    with application.engine.connect() as connection:
        (letter,) = dead_letters(connection)
    assert (letter.error or "").startswith("ValueError: a")


def test_a_position_that_was_set_back(application: Any) -> None:
    consumer = Consumer("billing", "order", on_failure="dead_letter", retry_policy=FAST)
    consumer.on("T")(lambda message, unit: 1 / 0)
    application.write("order-1", 1, 2)
    for _ in range(2):
        application.catch_up(consumer)
        with application.engine.begin() as connection:
            assert len(dead_letters(connection)) == 2
            connection.execute(text("UPDATE message_store.consumer_slots SET position = 0"))


@pytest.mark.parametrize("data", [None, {"position": "3"}, {"position": -1}, [1]])
def test_a_position_of_eventides_that_is_none(application: Any, data: Any) -> None:
    with application.engine.begin() as connection:
        MessageStore(connection).write("order:position-x", Message("Recorded", data))
    consumer = consumer_of(application, take_over="order:position-x")

    with pytest.raises(InvalidArgument, match="order:position-x"):
        application.catch_up(consumer)


@pytest.mark.parametrize(
    "arguments",
    [{"poll_interval": (0, 1)}, {"poll_interval": (2, 1)}],
)
def test_numbers_that_make_no_sense(arguments: Any) -> None:
    with pytest.raises(InvalidArgument):
        Consumer("billing", **arguments)
    with pytest.raises(InvalidArgument):
        RetryPolicy(max_attempts=0)


def test_a_member_whose_lease_ran_out_meanwhile_still_shares(application: Any) -> None:
    from sqlalchemy.orm import Session

    membership = Membership("billing", Group(slots=2, lease=1e-6, member="slow"))
    with Session(application.engine) as session:
        membership.join(session)
        membership.joined = True
        taken = membership.share(session, {}, lambda _session, _slot: 0)
    assert sorted(taken) == [0, 1]


def test_signals_at_any_moment_do_not_block(application: Any) -> None:
    if application.flavour.asynchronous:
        pytest.skip("an event of asyncio's has no lock")
    consumer = consumer_of(application, poll_interval=(0.001, 0.001))
    number = [0]

    def wake(*_: Any) -> None:
        number[0] += 1
        if number[0] < 2000:
            consumer.resume()
        else:
            consumer.stop()
            signal.setitimer(signal.ITIMER_REAL, 0)

    before = signal.signal(signal.SIGALRM, wake)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        consumer.run(application.factory)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert number[0] >= 2000


def test_one_run_at_a_time(application: Any) -> None:
    consumer = consumer_of(application)
    refused: list[str] = []

    @consumer.on("Again")
    def again(message: Any, unit: Any) -> None:
        if application.flavour.asynchronous:
            return
        try:
            consumer.catch_up(application.factory)
        except InvalidArgument as error:
            refused.append(str(error))

    application.write("order-1", 1, type_="Again")
    application.catch_up(consumer)
    consumer.stop()

    assert refused == (
        []
        if application.flavour.asynchronous
        else ["Consumer 'billing' is already running in this process"]
    )
