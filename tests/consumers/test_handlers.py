"""Which handler has a message, and what becomes of one that fails."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from mdb_sqla import Consumer, HandlerFailed, Message, NoHandler, RetryPolicy

ONCE = RetryPolicy(max_attempts=1)
FAST = RetryPolicy(max_attempts=3, initial_interval=0.001, max_interval=0.001)


def test_messages_without_a_handler_are_left_out(application: Any, handler: Any) -> None:
    application.write("order-1", 1, 2)
    application.write("order-1", 3, type_="Other")
    consumer = Consumer("billing", "order")
    consumer.on("Other")(handler)
    application.catch_up(consumer)
    application.write("order-1", 4, type_="Third")
    application.catch_up(consumer)

    assert application.effects() == [3]
    assert application.position("billing") == 4


def test_a_strict_consumer_stops_at_them(application: Any, handler: Any) -> None:
    application.write("order-1", 1)
    application.write("order-1", 2, type_="Other")
    consumer = Consumer("billing", "order", strict=True)
    consumer.on("T")(handler)

    with pytest.raises(NoHandler, match="'Other'") as error:
        application.catch_up(consumer)

    assert error.value.message.data == 2
    assert application.effects() == [1]
    assert application.position("billing") == 1


def test_all_other_types_have_one_handler(application: Any, handler: Any) -> None:
    application.write("order-1", 1)
    application.write("order-1", 2, type_="Other")
    consumer = Consumer("billing", "order", strict=True)
    consumer.on("T")(lambda message, unit: None)
    consumer.on()(handler)
    application.catch_up(consumer)

    assert application.effects() == [2]


@pytest.mark.parametrize("transaction_size", [1, 2])
def test_what_a_handler_writes_is_committed_with_it(
    application: Any, transaction_size: int
) -> None:
    consumer = Consumer("billing", "order", transaction_size=transaction_size)

    @consumer.on("T")
    def forward(message: Any, unit: Any) -> None:
        unit.write(f"invoice-{message.data}", Message("Sent", message.data).follow(message))

    application.write("order-1", 1, 2)
    application.catch_up(consumer)

    with application.engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT stream_name, metadata ->> 'causationMessageStreamName' "
                "FROM message_store.messages WHERE type = 'Sent' ORDER BY global_position"
            )
        ).all()
    assert rows == [("invoice-1", "order-1"), ("invoice-2", "order-1")]


def test_a_failing_handler_leaves_nothing_and_stops_the_consumer(application: Any) -> None:
    consumer = Consumer("billing", "order", retry_policy=FAST)
    tried = []

    @consumer.on("T")
    def fail_at_two(message: Any, unit: Any) -> None:
        tried.append(message.data)
        unit.session.execute(text("INSERT INTO effects (number) VALUES (:n)"), {"n": message.data})
        if message.data == 2:
            raise ZeroDivisionError("two")

    application.write("order-1", 1, 2, 3)
    with pytest.raises(HandlerFailed, match=r"message 2 .* after 3 attempts") as error:
        application.catch_up(consumer)

    assert isinstance(error.value.__cause__, ZeroDivisionError)
    assert error.value.message.data == 2
    assert tried == [1, 2, 2, 2]
    assert application.effects() == [1]
    assert application.position("billing") == 1


def test_a_handler_that_fails_for_a_while_is_tried_again(application: Any) -> None:
    consumer = Consumer("billing", "order", retry_policy=FAST)
    failures = iter([ZeroDivisionError(), ValueError()])

    @consumer.on("T")
    def fail_twice(message: Any, unit: Any) -> None:
        unit.session.execute(text("INSERT INTO effects (number) VALUES (:n)"), {"n": message.data})
        for failure in failures:
            raise failure

    application.write("order-1", 1, 2)
    application.catch_up(consumer)

    assert application.effects() == [1, 2]


def test_an_error_of_the_server_is_the_handlers(application: Any) -> None:
    consumer = Consumer("billing", "order", retry_policy=ONCE)
    consumer.on("T")(lambda message, unit: unit.session.execute(text("SELECT 1 / 0")))
    application.write("order-1", 1)

    with pytest.raises(HandlerFailed) as error:
        application.catch_up(consumer)
    assert isinstance(error.value.__cause__, DBAPIError)


@pytest.mark.parametrize("ending", ["commit", "rollback", "close"])
def test_a_handler_that_ends_the_transaction_is_told(application: Any, ending: str) -> None:
    consumer = Consumer("billing", "order", retry_policy=ONCE)
    if application.flavour.asynchronous:

        @consumer.on("T")
        async def end_it(message: Any, unit: Any) -> None:
            await getattr(unit.session, ending)()

    else:
        consumer.on("T")(lambda message, unit: getattr(unit.session, ending)())
    application.write("order-1", 1)

    with pytest.raises(HandlerFailed) as error:
        application.catch_up(consumer)

    assert "must leave the transaction open" in str(error.value.__cause__)
    assert application.position("billing") == 0
