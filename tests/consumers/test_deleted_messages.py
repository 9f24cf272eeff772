"""Consumers of a category of which a retention policy has deleted messages."""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mdb_sqla import Consumer, InvalidArgument, MessagesDeleted, admin, retention, tables
from tests.consumers.conftest import Application


def expire(application: Application, *ignored: str, category: str = "order") -> int:
    """Delete all messages of a category that no consumer, but those ignored, has to handle."""
    with application.engine.begin() as connection:
        retention.set_policy(connection, category, keep_age=timedelta(microseconds=1))
    (done,) = retention.run(
        application.engine, categories=[category], ignore_consumers=ignored, batch_size=2
    )
    return done.messages


@pytest.fixture
def billing(handler: Any) -> Consumer:
    consumer = Consumer("billing", "order", batch_size=2)
    consumer.on()(handler)
    return consumer


def test_what_it_has_handled_may_go(application: Application, billing: Consumer) -> None:
    for number in range(5):
        application.write("order-1", number)
        application.catch_up(billing)
        assert expire(application) == 1
    assert application.effects() == [0, 1, 2, 3, 4]
    assert application.position("billing") == 5


def test_it_is_no_news_that_what_it_has_handled_goes(
    application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    if application.flavour.asynchronous:
        pytest.skip("the loop is the same")
    handled = threading.Event()
    consumer = Consumer("billing", "order", poll_interval=(0.01, 0.01))
    consumer.on()(lambda message, unit: handled.set())
    thread = threading.Thread(target=consumer.run, args=(application.factory,))
    with caplog.at_level(logging.DEBUG, "mdb_sqla.consumer"):
        thread.start()
        for number in range(3):
            application.write("order-1", number)
            assert handled.wait(20)
            handled.clear()
            deadline = time.monotonic() + 20
            while expire(application) == 0:
                assert time.monotonic() < deadline
        consumer.stop()
        thread.join(20)
    reloads = [each for each in caplog.records if "is reloading its position" in each.message]
    assert len(reloads) >= 2
    assert {each.levelno for each in reloads} == {logging.DEBUG}
    assert application.position("billing") == 3


def test_a_new_consumer_stops(application: Application, billing: Consumer) -> None:
    application.write("order-1", 1, 2, 3)
    expire(application)
    application.write("order-1", 4)
    with pytest.raises(
        MessagesDeleted,
        match=r"Consumer 'billing' is at global position 0 in slot 0, but messages of its "
        r"categories up to 3 were deleted by a retention policy\. To handle the messages that are "
        r"left, pass start=\"earliest\" to the consumer; to continue after them, run mdb "
        r"reset-consumer billing --start 4",
    ) as error:
        application.catch_up(billing)
    assert (error.value.position, error.value.deleted_up_to) == (0, 3)
    assert application.effects() == []

    with application.engine.begin() as connection:
        admin.reset_consumer(connection, "billing", 4)
    application.catch_up(billing)
    assert application.effects() == [4]


@pytest.mark.parametrize("categories", [(), ("order", "other"), ("other",)])
def test_of_several_categories(
    application: Application, handler: Any, categories: tuple[str, ...]
) -> None:
    application.write("order-1", 1)
    application.write("other-1", 2)
    expire(application)
    consumer = Consumer("billing", *categories)
    consumer.on()(handler)
    if categories == ("other",):
        application.catch_up(consumer)
        assert application.effects() == [2]
    else:
        with pytest.raises(MessagesDeleted):
            application.catch_up(consumer)


def test_it_starts_where_nothing_is_missing(application: Application, handler: Any) -> None:
    application.write("order-1", 1, 2, 3)
    expire(application)
    application.write("order-1", 4)
    consumer = Consumer("billing", "order", start=4)
    consumer.on()(handler)
    application.catch_up(consumer)
    assert application.effects() == [4]


def test_it_starts_at_the_earliest_that_is_left(application: Application, handler: Any) -> None:
    application.write("order-1", 1, 2)
    application.write("order-2", 3)
    with application.engine.begin() as connection:
        retention.set_policy(connection, "order", keep_last=1)
    retention.run(application.engine)
    consumer = Consumer("billing", "order", start="earliest", batch_size=1)
    consumer.on()(handler)
    application.catch_up(consumer)
    assert application.effects() == [2, 3]
    application.write("order-1", 4)
    expire(application, "billing")
    application.write("order-1", 5)
    application.catch_up(consumer)
    assert application.effects() == [2, 3, 5]


@pytest.mark.parametrize("start", ["latest", "", 1.5, -1])
def test_other_starts_are_refused(start: Any) -> None:
    with pytest.raises(InvalidArgument, match="start must be"):
        Consumer("billing", "order", start=start)


def test_a_reset_behind_what_was_deleted(application: Application, billing: Consumer) -> None:
    application.write("order-1", 1, 2, 3)
    application.catch_up(billing)
    expire(application)
    application.write("order-1", 4)
    with application.engine.begin() as connection:
        admin.reset_consumer(connection, "billing")
    with pytest.raises(MessagesDeleted):
        application.catch_up(billing)
    assert application.effects() == [1, 2, 3]


def test_an_ignored_consumer_stops_while_it_runs(application: Application) -> None:
    """Between two batches, with no message of its own that could be missing."""
    application.write("other-1", 0)
    application.write("order-1", 1)
    handled, deleted = threading.Event(), threading.Event()
    consumer = Consumer("billing", "order", "other", poll_interval=(0.01, 0.01))

    if application.flavour.asynchronous:
        pytest.skip("the loop is the same")

    @consumer.on()
    def handle(message: Any, _unit: Any) -> None:
        if message.stream_name == "other-1":
            handled.set()
            assert deleted.wait(20)

    consumer_error: list[BaseException] = []

    def run() -> None:
        try:
            consumer.run(application.factory)
        except MessagesDeleted as error:
            consumer_error.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert handled.wait(20)
    application.write("order-1", 2)
    with application.engine.begin() as connection:
        # As if the others had been written and deleted meanwhile.
        connection.execute(
            tables.deleted_positions.insert().values(category="order", global_position=100)
        )
    deleted.set()
    thread.join(20)
    assert len(consumer_error) == 1


def test_a_message_that_it_holds_is_not_deleted(application: Application) -> None:
    """While a handler runs, its message is beyond the saved position."""
    if application.flavour.asynchronous:
        pytest.skip("the job looks at the saved position only")
    application.write("order-1", 1, 2)
    consumer = Consumer("billing", "order")
    during: list[int] = []

    @consumer.on()
    def handle(_message: Any, _unit: Any) -> None:
        during.append(expire(application))

    consumer.catch_up(application.factory)
    assert during == [0, 1]
    assert application.position("billing") == 2


def test_a_deleted_consumer_holds_nothing(application: Application, billing: Consumer) -> None:
    application.write("order-1", 1, 2)
    application.catch_up(billing)
    application.write("order-1", 3)
    assert expire(application) == 2
    with application.engine.begin() as connection:
        admin.delete_consumer(connection, "billing")
    assert expire(application) == 1
    with application.engine.begin() as connection:
        assert admin.consumers(connection) == []
        with pytest.raises(InvalidArgument, match="There is no consumer 'billing'"):
            admin.delete_consumer(connection, "billing")


def test_a_running_member_is_not_deleted(application: Application) -> None:
    members = tables.consumer_members
    with application.engine.begin() as connection:
        connection.execute(
            members.insert().values(
                consumer="billing",
                member="a",
                instance="00000000-0000-0000-0000-000000000000",
                lease=timedelta(seconds=30),
                alive_until=datetime.now(UTC) + timedelta(seconds=20),
            )
        )
        with pytest.raises(InvalidArgument, match="is running as member 'a': stop it first"):
            admin.delete_consumer(connection, "billing")
