"""The database is in an older state than the consumer remembers, or somebody has changed it.

Each would lose messages, or have effects of messages that are not there, without any error.
"""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from mdb_sqla import Consumer, ConsumerAhead, Message, MessageStore
from mdb_sqla.consumers.dead_letter_queue import dead_letters, replay
from tests.consumers.history import LAST, History, Reads, wait_for_position, wait_until_it_ends
from tests.consumers.running import FEW, INSERT, Handled, consumer_of, run


def test_what_was_read_before_is_read_again(application: Any, arguments: dict[str, Any]) -> None:
    """With a batch in hand, most of which is not in the database any more."""
    handled = Handled()
    restored = iter([True])

    def handle(message: Any, unit: Any) -> None:
        handled(message, unit)
        if message.data == 5 and next(restored, False):
            history.restore()
            application.write("order-1", *range(100, 120))

    consumer = consumer_of(handle, **arguments)
    application.write("order-1", 0)
    application.catch_up(consumer)
    history = History(application.engine)
    application.write("order-1", *range(1, 31))

    def script() -> None:
        handled.wait_for(119)
        application.write("order-1", LAST)
        handled.wait_for(LAST)

    run(application, consumer, script)

    assert application.effects() == [0, *range(100, 120), LAST]


def test_a_position_in_memory_is_not_moved_on_from(
    application: Any, arguments: dict[str, Any]
) -> None:
    """With nothing in hand, and without a transaction of the consumer's that fails."""
    handled = Handled()
    consumer = consumer_of(handled, **arguments)

    def script() -> None:
        application.write("order-1", 0, 1, 2)
        handled.wait_for(2)
        wait_for_position(application, 3)
        history = History(application.engine)
        application.write("order-1", *range(3, 31))
        handled.wait_for(30)
        wait_for_position(application, 31)
        history.restore()
        application.write("order-1", *range(100, 120))
        handled.wait_for(119)

    run(application, consumer, script)

    assert application.effects() == [0, 1, 2, *range(100, 120)]


@pytest.mark.parametrize(
    "filters", [{}, {"correlation": "other"}], ids=["without a handler", "filtered"]
)
def test_nor_one_that_is_in_memory_only(application: Any, filters: dict[str, Any]) -> None:
    """What is skipped moves a position that is saved more seldom."""
    handled = Handled()
    reads = Reads(application)
    # It saves at the latest when it has nothing to do for long.
    consumer = consumer_of(handled, batch_size=500, poll_interval=(0.002, 10.0), **filters)
    correlated = {"correlationStreamName": "other-1"}

    def script() -> None:
        application.write("order-1", 0, **correlated)
        handled.wait_for(0)
        wait_for_position(application, 1)
        history = History(application.engine)
        application.write("order-1", *range(200), type_="Other")
        reads.wait_for_two()
        assert application.position("billing") == 1
        history.restore()
        application.write("order-1", *range(100, 110), **correlated)
        handled.wait_for(109)

    run(application, consumer, script)

    assert application.effects() == [0, *range(100, 110)]


def test_what_is_in_flight_is_delivered_again(application: Any) -> None:
    """Its effects are elsewhere, and stay; those of what is read afterwards come, too."""
    if not application.flavour.asynchronous:
        pytest.skip("only with run_async")
    delivered: list[int] = []
    handled = Handled()
    consumer = Consumer(
        "billing", "order", max_in_flight=4, poll_interval=(0.002, 0.01), retry_policy=FEW
    )
    restored = iter([True])

    @consumer.on("T")
    async def deliver(message: Any) -> None:
        delivered.append(message.data)
        if message.data == 3 and next(restored, False):
            history.restore()
            application.write("order-2", *range(100, 120))
        handled.note(message)

    history = History(application.engine)
    application.write("order-1", *range(1, 11))

    run(application, consumer, lambda: handled.wait_for(119))

    assert delivered[: delivered.index(100)] == [1, 2, 3, 4]
    assert delivered[delivered.index(100) :] == list(range(100, 120))


def test_a_dead_letter_whose_message_is_another_now(application: Any) -> None:
    """What was done with the one that was read is rolled back, and the other is handled."""
    calls: list[int] = []
    consumer = Consumer("billing", "order", retry_policy=FEW, on_failure="dead_letter")

    @consumer.on("T")
    def handle(message: Any, unit: Any) -> None:
        calls.append(message.data)
        unit.session.execute(INSERT, {"number": message.data})
        if len(calls) <= 2:
            raise ZeroDivisionError
        if message.data == 1:
            with application.engine.begin() as connection:
                connection.execute(
                    text(
                        "UPDATE message_store.messages SET id = gen_random_uuid(), data = '2' "
                        "WHERE stream_name = 'order-1'"
                    )
                )

    application.write("order-1", 1)
    application.write("order-2", 3)
    application.catch_up(consumer)
    with application.engine.begin() as connection:
        assert replay(connection, "billing") == 1
    for _ in range(2):
        application.catch_up(consumer)

    assert calls == [1, 1, 3, 1, 2]
    assert application.effects() == [3, 2]
    with application.engine.connect() as connection:
        assert dead_letters(connection) == []


@pytest.mark.parametrize("number", [5, 40], ids=["short of the position", "beyond it"])
def test_a_store_that_was_emptied(application: Any, number: int) -> None:
    """The consumer would skip what has the global positions that it is beyond."""
    handled = Handled()
    consumer = consumer_of(handled)

    def script() -> None:
        application.write("order-1", *range(20))
        handled.wait_for(19)
        wait_for_position(application, 20)
        with application.engine.begin() as connection:
            connection.execute(text("TRUNCATE message_store.messages RESTART IDENTITY"))
            MessageStore(connection).write("order-1", [Message("T", 100) for _ in range(number)])
        wait_until_it_ends(consumer)

    with pytest.raises(ConsumerAhead, match="at global position 20") as error:
        run(application, consumer, script)

    assert error.value.drawn == number
    assert application.effects() == list(range(20))


def test_a_restarted_history_is_noticed_where_the_position_stayed(application: Any) -> None:
    """As after `TRUNCATE` and a restore of the messages alone, where others are written then."""
    handled = Handled()
    consumer = consumer_of(handled)

    def script() -> None:
        application.write("order-1", *range(30))
        handled.wait_for(29)
        wait_for_position(application, 30)
        with application.engine.begin() as connection:
            connection.execute(
                text("DELETE FROM message_store.messages WHERE global_position > 10")
            )
            connection.execute(
                text("SELECT setval('message_store.messages_global_position_seq', 10)")
            )
            MessageStore(connection).write("order-2", [Message("T", 100) for _ in range(20)])
        wait_until_it_ends(consumer)

    with pytest.raises(ConsumerAhead, match="at global position 30"):
        run(application, consumer, script)

    assert application.effects() == list(range(30))
