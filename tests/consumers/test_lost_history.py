"""The database is in an older state than the consumer remembers, or somebody has changed it.

Each would lose messages, or have effects of messages that are not there, without any error.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import event, text
from tenacity import retry, retry_if_result, stop_after_delay

from mdb_sqla import Consumer, ConsumerAhead, Group, Message, MessageStore
from mdb_sqla.admin.granularity import set_lock_granularity
from mdb_sqla.admin.verification import data_rules
from mdb_sqla.consumers.dead_letter_queue import dead_letters, replay
from tests.consumers.history import History
from tests.consumers.running import FEW, INSERT, Handled, consumer_of, run
from tests.waiting import wait_until

LAST = 1000
SEQUENCE = "message_store.messages_global_position_seq"


def wait_until_it_ends(consumer: Consumer) -> None:
    @retry(retry=retry_if_result(lambda state: state != "stopped"), stop=stop_after_delay(20))
    def state() -> str:
        return consumer.state

    state()


def wait_for_position(application: Any, position: int) -> None:
    """Wait until it is committed, which follows what a handler can tell."""

    @retry(retry=retry_if_result(lambda found: found != position), stop=stop_after_delay(20))
    def found() -> int | None:
        place: int | None = application.position("billing")
        return place

    found()


def wait_until_position_is_saved(application: Any, position: int) -> None:
    """Do the same with whichever slot has the stream."""
    wait_until(lambda: position in [application.position("billing", slot) for slot in (0, 1)])


@pytest.fixture(
    params=[{}, {"transaction_size": 4}, {"group": True}, {"sets_aside": True}],
    ids=["one", "transactions", "group", "setting-aside"],
)
def arguments(request: pytest.FixtureRequest) -> dict[str, Any]:
    if "group" in request.param:
        return {"group": Group(slots=1, lease=5)}
    return dict(request.param)


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


class Reads:
    """Counts how often a consumer reads."""

    def __init__(self, application: Any) -> None:
        self._number = 0
        self._changed = threading.Condition()
        event.listen(application.flavour.sync_engine, "after_cursor_execute", self._executed)

    def _executed(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "get_category_messages" in statement:
            with self._changed:
                self._number += 1
                self._changed.notify_all()

    def wait_for_two(self) -> None:
        """Wait for a read that begins from now on to have come to its end."""
        with self._changed:
            number = self._number
            assert self._changed.wait_for(lambda: self._number >= number + 3, timeout=20)


@pytest.mark.parametrize(
    "filters", [{}, {"correlation": "other"}], ids=["without a handler", "filtered"]
)
def test_nor_one_that_is_in_memory_only(application: Any, filters: dict[str, Any]) -> None:
    """What is skipped moves a position that is saved more seldom."""
    handled = Handled()
    reads = Reads(application)
    # It saves at the latest when it has nothing to do for long.
    consumer = consumer_of(handled, batch_size=500, poll=(0.002, 10.0), **filters)
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
    consumer = Consumer("billing", "order", in_flight=4, poll=(0.002, 0.01), retries=FEW)
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
    consumer = Consumer("billing", "order", retries=FEW, sets_aside=True)

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


def test_a_position_beyond_what_was_drawn_is_named_at_the_start(
    application: Any, arguments: dict[str, Any]
) -> None:
    consumer = consumer_of(Handled(), **arguments)
    application.write("order-1", 1, 2)
    application.catch_up(consumer)
    with application.engine.begin() as connection:
        connection.execute(text("UPDATE message_store.consumer_slots SET position = 90"))

    with pytest.raises(ConsumerAhead, match="'billing' is at global position 90") as error:
        application.catch_up(consumer)
    assert (error.value.slot, error.value.position, error.value.drawn) == (0, 90, 2)


def test_a_sequence_that_was_set_to_begin_with_a_number(application: Any) -> None:
    """As `pg_dump` sets it where none was drawn; the newest message was deleted."""
    application.write("order-1", 1, 2, 3)
    application.catch_up(consumer_of(Handled()))
    with application.engine.begin() as connection:
        connection.execute(text("DELETE FROM message_store.messages WHERE global_position = 3"))
        connection.execute(
            text("SELECT setval('message_store.messages_global_position_seq', 4, false)")
        )
    with application.engine.connect() as connection:
        assert list(data_rules.sequence(connection, SEQUENCE)) == []
        assert list(data_rules.consumers(connection, SEQUENCE)) == []

    application.catch_up(consumer_of(Handled()))
    application.write("order-1", 4)
    application.catch_up(consumer_of(Handled()))

    assert application.effects() == [1, 2, 3, 4]


def test_a_start_that_is_not_reached_yet_is_waited_for(application: Any) -> None:
    consumer = consumer_of(Handled(), start=4)
    for _ in range(2):
        application.catch_up(consumer)
    application.write("order-1", 1, 2, 3, 4)
    application.catch_up(consumer)

    assert application.effects() == [4]


@pytest.mark.parametrize(("position", "again"), [(1, [2, 3]), (5, [])])
def test_an_administrator_sets_the_position_of_one_that_runs(
    application: Any, arguments: dict[str, Any], position: int, again: list[int]
) -> None:
    handled = Handled()
    consumer = consumer_of(handled, **arguments)

    def script() -> None:
        application.write("order-1", 1, 2, 3)
        handled.wait_for(3)
        wait_for_position(application, 3)
        with application.engine.begin() as connection:
            MessageStore(connection).write("order-1", [Message("T", 4), Message("T", 5)])
            connection.execute(
                text("UPDATE message_store.consumer_slots SET position = :position"),
                {"position": position},
            )
        application.write("order-1", LAST)
        handled.wait_for(LAST)

    run(application, consumer, script)

    assert application.effects() == [1, 2, 3, *again, *([4, 5] if again else []), LAST]


def test_an_administrator_deletes_the_slot_of_one_that_runs(
    application: Any, arguments: dict[str, Any]
) -> None:
    """It begins anew, as one that never ran."""
    handled = Handled()
    consumer = consumer_of(handled, **arguments)

    def script() -> None:
        application.write("order-1", 1, 2, 3)
        handled.wait_for(3)
        wait_for_position(application, 3)
        with application.engine.begin() as connection:
            connection.execute(text("DELETE FROM message_store.consumer_slots"))
        application.write("order-1", LAST)
        handled.wait_for(LAST)

    run(application, consumer, script)

    assert application.effects() == [1, 2, 3, 1, 2, 3, LAST]


def test_the_last_message_was_deleted(application: Any, caplog: pytest.LogCaptureFixture) -> None:
    """That is no other history."""
    handled = Handled()
    consumer = consumer_of(handled)

    def script() -> None:
        application.write("order-1", 1, 2)
        handled.wait_for(2)
        wait_for_position(application, 2)
        with application.engine.begin() as connection:
            connection.execute(text("DELETE FROM message_store.messages"))
        application.write("order-2", LAST)
        handled.wait_for(LAST)

    run(application, consumer, script)

    assert application.effects() == [1, 2, LAST]
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


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


@pytest.mark.parametrize("deleted", [False, True], ids=["with it", "without messages"])
@pytest.mark.parametrize("kind", [{}, {"group": Group(slots=2)}], ids=["alone", "group"])
def test_the_sequence_is_altered_by_one_who_may(
    application: Any, kind: dict[str, Any], deleted: bool
) -> None:
    """As setting the lock granularity does, while the position in memory is ahead of the saved."""
    handled = Handled()
    reads = Reads(application)
    consumer = consumer_of(handled, batch_size=500, poll=(0.002, 10.0), **kind)

    def script() -> None:
        application.write("order-1", *range(20))
        handled.wait_for(19)
        wait_until_position_is_saved(application, 20)
        application.write("order-1", *range(50), type_="Other")
        reads.wait_for_two()
        if deleted:
            with application.engine.begin() as connection:
                connection.execute(text("DELETE FROM message_store.messages"))
            reads.wait_for_two()
        set_lock_granularity(application.engine, "stream")
        application.write("order-1", LAST)
        handled.wait_for(LAST)

    try:
        run(application, consumer, script)
    finally:
        set_lock_granularity(application.engine, "category")

    assert application.effects() == [*range(20), LAST]
