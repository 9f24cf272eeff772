"""A position, a slot, a message or the sequence is altered by somebody who may."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from mdb_sqla import ConsumerAhead, Group, Message, MessageStore
from mdb_sqla.admin.granularity_switch import set_lock_granularity
from mdb_sqla.admin.verification import data_rules
from tests.consumers.history import (
    LAST,
    SEQUENCE,
    Reads,
    wait_for_position,
    wait_until_position_is_saved,
)
from tests.consumers.running import Handled, consumer_of, run


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


@pytest.mark.parametrize("deleted", [False, True], ids=["with it", "without messages"])
@pytest.mark.parametrize("kind", [{}, {"group": Group(slots=2)}], ids=["alone", "group"])
def test_the_sequence_is_altered_by_one_who_may(
    application: Any, kind: dict[str, Any], deleted: bool
) -> None:
    """As setting the lock granularity does, while the position in memory is ahead of the saved."""
    handled = Handled()
    reads = Reads(application)
    consumer = consumer_of(handled, batch_size=500, poll_interval=(0.002, 10.0), **kind)

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
