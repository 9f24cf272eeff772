"""A consumer handles every message once, in order, and remembers how far it is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import event, text

from mdb_sqla import Consumer, Group, Message, MessageStore, RetryPolicy, SlotLost

FAST = RetryPolicy(max_attempts=3, initial_interval=0.001, max_interval=0.001)


@pytest.mark.parametrize("transaction_size", [1, 3, 100])
@pytest.mark.parametrize("batch_size", [2, 100])
def test_handles_each_message_once(
    application: Any, handler: Any, transaction_size: int, batch_size: int
) -> None:
    consumer = Consumer(
        "billing", "order", transaction_size=transaction_size, batch_size=batch_size
    )
    consumer.on("T")(handler)
    application.write("order-1", 1, 2, 3)
    application.write("other-1", 0)
    application.write("order-2", 4, 5)

    application.catch_up(consumer)
    application.catch_up(consumer)

    assert application.effects() == [1, 2, 3, 4, 5]
    assert application.position("billing") == 6
    application.write("order-1", 6)
    application.catch_up(consumer)
    assert application.effects() == [1, 2, 3, 4, 5, 6]


def test_several_categories_and_all(application: Any, handler: Any) -> None:
    application.write("order-1", 1)
    application.write("invoice-1", 2)
    application.write("other-1", 3)
    for name, categories in {"some": ("invoice", "order"), "all": ()}.items():
        consumer = Consumer(name, *categories)
        consumer.on("T")(handler)
        application.catch_up(consumer)

    assert application.effects() == [1, 2, 1, 2, 3]


def test_starts_where_it_is_told(application: Any, handler: Any) -> None:
    application.write("order-1", 1, 2, 3)
    consumer = Consumer("billing", "order", start=3)
    consumer.on("T")(handler)
    application.catch_up(consumer)

    assert application.effects() == [3]


def test_takes_over_from_an_eventide_consumer(application: Any, handler: Any) -> None:
    application.write("order-1", 1, 2, 3)
    with application.engine.begin() as connection:
        recorded = [Message("Recorded", {"position": position}) for position in (1, 2)]
        MessageStore(connection).write("order:position-billing", recorded)
    for _ in range(2):
        consumer = Consumer("billing", "order", take_over="order:position-billing")
        consumer.on("T")(handler)
        application.catch_up(consumer)

    assert application.effects() == [3]


def test_consumers_of_a_group_share_the_streams(application: Any, handler: Any) -> None:
    for number in range(20):
        application.write(f"order-{number}", number)
    for member in range(3):
        consumer = Consumer("billing", "order", consumer_group_member=member, consumer_group_size=3)
        consumer.on("T")(handler)
        before = len(application.effects())
        application.catch_up(consumer)
        assert len(application.effects()) > before
        assert application.position("billing", member) == 20

    assert sorted(application.effects()) == list(range(20))


def test_a_filter_is_passed_by(application: Any, handler: Any) -> None:
    """The position goes past what the filter has ruled out."""
    application.write("order-1", 1, correlationStreamName="shop-1")
    application.write("order-1", *range(2, 30))
    consumer = Consumer("billing", "order", correlation="shop", batch_size=5)
    consumer.on("T")(handler)
    application.catch_up(consumer)

    assert application.effects() == [1]
    assert application.position("billing") == 29


def test_but_not_past_what_is_not_settled(application: Any, handler: Any) -> None:
    consumer = Consumer("billing", "order", correlation="shop")
    consumer.on("T")(handler)
    with application.engine.connect() as slow:
        message = Message("T", 1, {"correlationStreamName": "shop-1"})
        MessageStore(slow).write("order-1", message)
        application.write("other-1", *range(20))
        application.catch_up(consumer)
        assert application.position("billing") == 0
        slow.commit()
    application.catch_up(consumer)

    assert application.effects() == [1]


def test_one_that_was_started_elsewhere_is_let_go(application: Any) -> None:
    """It rolls back what it was doing: the other does it."""
    consumer = Consumer("billing", "order", retry_policy=FAST)
    other = Consumer("billing", "order")
    other.on("T")(lambda message, unit: None)

    @consumer.on("T")
    def meanwhile(message: Any, unit: Any) -> None:
        unit.session.execute(text("INSERT INTO effects (number) VALUES (:n)"), {"n": message.data})
        with application.engine.begin() as connection:
            connection.execute(text("UPDATE message_store.consumer_slots SET token = token + 1"))

    application.write("order-1", 1)
    with pytest.raises(SlotLost, match="billing"):
        application.catch_up(consumer)

    assert application.effects() == []


def test_goes_on_after_its_connection_was_lost(application: Any) -> None:
    consumer = Consumer("billing", "order", poll_interval=(0.001, 0.01))
    lost = iter([True])

    @consumer.on("T")
    def lose_it(message: Any, unit: Any) -> None:
        unit.session.execute(text("INSERT INTO effects (number) VALUES (:n)"), {"n": message.data})
        if message.data == 2 and next(lost, False):
            pid = unit.session.scalar(text("SELECT pg_backend_pid()"))
            with application.engine.connect() as connection:
                connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})

    application.write("order-1", 1, 2, 3)
    application.catch_up(consumer)

    assert application.effects() == [1, 2, 3]


@pytest.mark.parametrize("group", [None, Group(slots=1)], ids=["alone", "group"])
def test_a_batch_is_read_once(application: Any, handler: Any, group: Group | None) -> None:
    reads: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "get_category_messages" in statement:
            reads.append(statement)

    event.listen(application.flavour.sync_engine, "before_cursor_execute", note)
    application.write("order-1", *range(30))
    consumer = Consumer("billing", "order", batch_size=10, group=group)
    consumer.on("T")(handler)
    application.catch_up(consumer)

    assert application.effects() == list(range(30))
    # The last of them finds that there is nothing more.
    assert len(reads) == 4


def test_one_that_is_stopped_while_it_starts(application: Any, handler: Any) -> None:
    consumer = Consumer("billing", "order")
    consumer.on("T")(handler)

    def is_stopping() -> bool:
        consumer.stop()
        return False

    if application.flavour.asynchronous:
        running = consumer._run_async(application.factory, endless=True, is_stopping=is_stopping)
        application.flavour.run(asyncio.wait_for(running, 20))
    else:
        consumer._run(application.factory, endless=True, is_stopping=is_stopping)

    assert consumer.state == "stopped"
