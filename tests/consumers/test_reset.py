"""A consumer is set back to where it is to begin, and one without handlers moves nowhere."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import select

from mdb_sqla import Consumer, Group, Host, InvalidArgument, RetryPolicy, Unavailable, tables
from mdb_sqla.admin import reset_consumer
from mdb_sqla.consumers.dead_letter_queue import dead_letters
from mdb_sqla.testing.catch_up import catch_up, catch_up_async
from tests.consumers.conftest import Application
from tests.consumers.running import run
from tests.waiting import wait_until


def set_back(application: Application, consumer: str, start: int = 1) -> None:
    with application.engine.begin() as connection:
        reset_consumer(connection, consumer, start)


@pytest.mark.parametrize("strict", [False, True])
def test_a_consumer_without_handlers_is_refused(application: Application, strict: bool) -> None:
    """The module that has them was not imported; all there is would be skipped for good."""
    consumer = Consumer("billing", "order", strict=strict)
    application.write("order-1", 1)
    what = "Consumer 'billing' has no handlers .*; import the module"

    with pytest.raises(InvalidArgument, match=what):
        application.catch_up(consumer)
    catch_all_up: Any = catch_up_async if application.flavour.asynchronous else catch_up
    with pytest.raises(InvalidArgument, match=what):
        application.flavour.run(catch_all_up(application.factory, consumer))

    assert application.position("billing") is None
    assert consumer.state == "stopped"


def test_a_host_refuses_it_before_others_start(application: Application, handler: Any) -> None:
    first = Consumer("first", "order")
    first.on("T")(handler)
    application.write("order-1", 1)

    with pytest.raises(InvalidArgument, match="Consumer 'billing' has no handlers"):
        Host(application.factory, first, Consumer("billing", "order")).run()

    assert application.effects() == []


def test_a_handler_that_is_added_later(application: Application, handler: Any) -> None:
    """What was skipped before is handled after a reset."""
    application.write("order-1", 1)
    application.write("order-1", 2, type_="Later")
    consumer = Consumer("billing", "order")
    consumer.on("T")(handler)
    application.catch_up(consumer)
    consumer.on("Later")(handler)
    application.catch_up(consumer)
    assert application.effects() == [1]

    set_back(application, "billing", 2)
    application.catch_up(consumer)

    assert application.effects() == [1, 2]
    assert application.position("billing") == 2


def test_all_slots_of_a_group(application: Application, handler: Any) -> None:
    """Also those that no member has taken yet."""
    for number in range(1, 21):
        application.write(f"order-{number}", number)
    with application.engine.begin() as connection:
        connection.execute(
            tables.consumer_slots.insert().values(consumer="billing", slot=0, slots=4, position=20)
        )
    set_back(application, "billing", 11)

    slots = tables.consumer_slots.c
    with application.engine.connect() as connection:
        rows = connection.execute(select(slots.slot, slots.slots, slots.position, slots.token))
        assert sorted(tuple(row) for row in rows) == [(slot, 4, 10, 0) for slot in range(4)]
    consumer = Consumer("billing", "order", group=Group(slots=4))
    consumer.on("T")(handler)
    application.catch_up(consumer)
    assert sorted(application.effects()) == list(range(11, 21))


def test_dead_letters_from_there_on_are_handled_again(application: Application) -> None:
    """Those before it stay, and so does what waits for them."""
    is_mended = False
    consumer = Consumer(
        "billing", "order", on_failure="dead_letter", retry_policy=RetryPolicy(max_attempts=1)
    )
    handled: list[int] = []

    @consumer.on("T")
    def handle(message: Any, unit: Any) -> None:
        if message.data in (1, 3) and not is_mended:
            raise ZeroDivisionError
        handled.append(message.data)

    application.write("order-1", 1)
    application.write("order-2", 2, 3, 4)
    application.write("order-1", 5)
    application.catch_up(consumer)
    assert handled == [2]
    is_mended = True

    set_back(application, "billing", 2)
    application.catch_up(consumer)

    assert handled == [2, 2, 3, 4]
    with application.engine.connect() as connection:
        letters = dead_letters(connection, "billing")
    assert [(letter.global_position, letter.failed) for letter in letters] == [
        (1, True),
        (5, False),
    ]


def test_what_is_in_flight_is_delivered_again(application: Application) -> None:
    """Also what was delivered before the position moved."""
    if not application.flavour.asynchronous:
        pytest.skip("what is in flight needs a loop")
    calls: list[int] = []
    waiting = threading.Event()
    consumer = Consumer("billing", "order", max_in_flight=4, poll_interval=(0.002, 0.01))

    @consumer.on("T")
    async def send(message: Any) -> None:
        # Until the others come again: else it may be handled before the reset is noticed.
        if message.data == 4 and calls.count(3) < 2:
            waiting.set()
            raise Unavailable("The other side is away")
        calls.append(message.data)

    def script() -> None:
        assert waiting.wait(20)
        set_back(application, "billing", 1)
        wait_until(lambda: application.position("billing") == 5)

    application.write("order-1", 0)
    application.catch_up(consumer)
    for number in (1, 2, 3, 4):
        application.write(f"order-{number}", number)
    run(application, consumer, script)

    assert sorted(calls) == [0, 0, 1, 1, 2, 2, 3, 3, 4]


def test_what_is_refused(application: Application, handler: Any) -> None:
    application.write("order-1", 1, 2)
    with pytest.raises(
        InvalidArgument, match=r"'biling' has no position .* never run on this store"
    ):
        set_back(application, "biling")
    consumer = Consumer("billing", "order")
    consumer.on("T")(handler)
    application.catch_up(consumer)
    with pytest.raises(InvalidArgument, match="start must be at most 3,"):
        set_back(application, "billing", 4)
    for wrong in (0, True, "1"):
        with pytest.raises(InvalidArgument, match=f"at least 1, got {wrong!r}"):
            set_back(application, "billing", wrong)  # type: ignore[arg-type]

    set_back(application, "billing", 3)
    assert application.position("billing") == 2


def test_it_is_rolled_back_with_the_transaction(application: Application, handler: Any) -> None:
    application.write("order-1", 1)
    consumer = Consumer("billing", "order")
    consumer.on("T")(handler)
    application.catch_up(consumer)
    with application.engine.connect() as connection:
        reset_consumer(connection, "billing")

    assert application.position("billing") == 1
