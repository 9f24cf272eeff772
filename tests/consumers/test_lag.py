"""How far a consumer is: what is counted, and what it costs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, text, update
from sqlalchemy.exc import OperationalError

from mdb_sqla import Consumer, Group, Lag, MessageStore, RetryPolicy, tables
from mdb_sqla.consumers import backlog
from mdb_sqla.consumers import consumer_lag as module
from mdb_sqla.consumers.consumer_lag import lag

slots = tables.consumer_slots


def measured(application: Any, consumer: Consumer) -> Lag:
    with application.flavour.session() as session:
        if application.flavour.asynchronous:
            found: Lag = application.flavour.run(session.run_sync(consumer.lag))
            return found
        return consumer.lag(session)


def doing_nothing(name: str, *categories: str, **options: Any) -> Consumer:
    consumer = Consumer(name, *categories, **options)
    consumer.on()(lambda message, unit: None)
    return consumer


def move(application: Any, consumer: str, slot: int, position: int) -> None:
    of_slot = (slots.c.consumer == consumer) & (slots.c.slot == slot)
    with application.engine.begin() as connection:
        connection.execute(update(slots).where(of_slot).values(position=position))


def write_variously(application: Any) -> None:
    """Write to streams of two categories, with and without ids, by different correlations."""
    for number in range(40):
        name = f"order-{number}+{number % 3}" if number % 8 else "order"
        application.write(name, number, type_="AB"[number % 2], correlationStreamName="shop-1")
        application.write(f"account-{number}", number, correlationStreamName="bank-1")
        application.write(f"orders-{number}", number)


def test_one_that_never_ran_begins_at_its_start(application: Any) -> None:
    application.write("order-1", 1, 2, 3, 4, 5)

    found = measured(application, doing_nothing("new", "order"))
    assert (found.positions, found.position, found.messages) == ({}, None, 5)
    assert found.seconds > 0
    assert not found.at_least
    assert measured(application, doing_nothing("new", "order", start=4)).messages == 2
    assert measured(application, doing_nothing("new", "account")) == Lag({}, 0, False, 0.0, 0)


def test_one_that_has_caught_up(application: Any) -> None:
    application.write("order-1", 1, 2, 3)
    consumer = doing_nothing("billing", "order")
    application.catch_up(consumer)

    assert measured(application, consumer) == Lag({0: 3}, 0, False, 0.0, 0)
    application.write("order-1", 4, 5)
    application.write("account-1", 6)
    assert measured(application, consumer).messages == 2


def test_seconds_are_the_age_of_the_oldest_that_is_not_handled(application: Any) -> None:
    consumer = doing_nothing("billing", "order")
    now = datetime.now(UTC)
    rows = [
        {
            "global_position": position,
            "position": position,
            "stream_name": "order-1",
            "type": "T",
            "time": now - timedelta(seconds=age),
        }
        for position, age in [(1, 5000), (2, 50), (3, 500), (4, 5)]
    ]
    with application.engine.begin() as connection:
        connection.execute(insert(tables.messages), rows)
        connection.execute(insert(slots).values(consumer="billing", slot=0, slots=1, position=1))

    assert measured(application, consumer).seconds == pytest.approx(500, abs=30)


@pytest.mark.parametrize("time", ["infinity", "-infinity", "20000-01-01", "0044-03-15 BC"])
def test_a_time_that_python_does_not_have_has_no_age(
    application: Any, monkeypatch: pytest.MonkeyPatch, time: str
) -> None:
    application.write("order-1", 1, 2)
    with application.engine.begin() as connection:
        connection.execute(
            text(
                f"UPDATE message_store.messages SET time = timestamp '{time}' "
                "WHERE global_position = 1"
            )
        )

    found = measured(application, doing_nothing("billing", "order"))
    assert found.messages == 2
    assert found.seconds == pytest.approx(0, abs=30)
    monkeypatch.setattr(module, "MAX_COUNTED", 1)
    found = measured(application, doing_nothing("billing", "order"))
    assert (found.messages, found.at_least, found.seconds) == (1, True, 0)
    other = Consumer("other", "order")
    other.on("Other")(lambda message, unit: None)
    assert measured(application, other).seconds == 0


@pytest.mark.parametrize("categories", [("order",), ("order", "account"), ()], ids=len)
def test_a_group(application: Any, categories: tuple[str, ...]) -> None:
    write_variously(application)
    consumer = doing_nothing("billing", *categories, group=Group(slots=4))
    application.catch_up(consumer)
    assert measured(application, consumer).messages == 0

    # One slot was never taken, and the others are not equally far.
    positions = {0: 100, 1: 20, 2: 0, 3: 61}
    for slot, position in positions.items():
        move(application, "billing", slot, position)
    with application.engine.begin() as connection:
        connection.execute(delete(slots).where(slots.c.consumer == "billing", slots.c.slot == 2))
        store = MessageStore(connection)
        rest = [
            message
            for slot, position in positions.items()
            for message in store.read_messages(
                categories or None, position + 1, consumer_group_member=slot, consumer_group_size=4
            )
        ]

    found = measured(application, consumer)
    assert found.messages == len(rest) > 0
    assert found.positions == {0: 100, 1: 20, 3: 61}
    assert found.position == 20


@pytest.mark.parametrize(
    "filters",
    [
        {"correlation": "shop"},
        {"correlation": "nothing"},
        {"consumer_group_member": 1, "consumer_group_size": 3},
        {"consumer_group_member": 0, "consumer_group_size": 1},
        {"correlation": "bank", "consumer_group_member": 0, "consumer_group_size": 2},
        {"condition": "messages.position < 2 AND type LIKE 'B%' OR data::text = '16'"},
        {"condition": "type = 'A' OR type = 'T'", "correlation": "bank"},
    ],
    ids=str,
)
def test_filters_are_those_of_the_server(application: Any, filters: Any) -> None:
    write_variously(application)
    for categories in [("order",), ("order", "account"), ()]:
        consumer = doing_nothing("billing", *categories, start=30, **filters)
        with application.engine.begin() as connection:
            connection.execute(text("SET LOCAL message_store.sql_condition = 'on'"))
            store = MessageStore(connection)
            expected = store.read_messages(categories or None, 30, **filters)

        assert measured(application, consumer).messages == len(expected)


def test_a_member_by_number_has_its_own_slot_only(application: Any) -> None:
    write_variously(application)
    members = [
        doing_nothing("billing", "order", consumer_group_member=member, consumer_group_size=2)
        for member in range(2)
    ]
    application.catch_up(members[0])

    first, second = (measured(application, member) for member in members)
    assert (first.messages, list(first.positions)) == (0, [0])
    assert (second.positions, second.messages > 0) == ({}, True)


def test_what_has_no_handler_is_not_waited_for(application: Any) -> None:
    application.write("order-1", 1, 2, type_="Known")
    application.write("order-1", 3, 4, 5, type_="Unknown")
    some = Consumer("some", "order")
    some.on("Known")(lambda message, unit: None)
    strict = Consumer("some", "order", strict=True)
    strict.on("Known")(lambda message, unit: None)

    assert measured(application, some).messages == 2
    assert measured(application, strict).messages == 5
    assert measured(application, Consumer("some", "order")).messages == 0
    assert measured(application, doing_nothing("some", "order")).messages == 5


def test_dead_letters_are_counted_by_themselves(application: Any) -> None:
    application.write("order-1", 1, 2)
    application.write("order-2", 3)
    consumer = Consumer(
        "careful", "order", on_failure="dead_letter", retry_policy=RetryPolicy(max_attempts=1)
    )
    consumer.on()(lambda message, unit: [][message.stream_name == "order-1"])
    application.catch_up(consumer)

    found = measured(application, consumer)
    assert (found.messages, found.dead_letters) == (0, 3)


def test_no_more_are_looked_at_than_said(application: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write_variously(application)
    monkeypatch.setattr(module, "MAX_COUNTED", 10)

    found = measured(application, doing_nothing("billing", "order"))
    assert (found.messages, found.at_least) == (10, True)
    some = measured(application, doing_nothing("billing", "order", correlation="nothing"))
    assert (some.messages, some.at_least) == (0, True)
    assert some.seconds > 0
    several = measured(application, doing_nothing("billing", "order", "account"))
    assert (several.messages, several.at_least) == (10, True)
    end = measured(application, doing_nothing("billing", "order", start=118))
    assert (end.messages, end.at_least) == (1, False)


def test_the_transaction_is_left_as_it_was(
    application: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    application.write("order-1", 1)
    settings = "SELECT current_setting('enable_sort'), current_setting('statement_timeout')"
    with application.engine.begin() as locking, application.engine.connect() as connection:
        before = connection.execute(text(settings)).one()
        assert lag(connection, "billing", "order").messages == 1
        assert connection.execute(text(settings)).one() == before

        locking.execute(text("LOCK TABLE message_store.messages IN ACCESS EXCLUSIVE MODE"))
        monkeypatch.setitem(backlog.LAG_SETTINGS, "statement_timeout", "50ms")
        with pytest.raises(OperationalError, match="statement timeout"):
            lag(connection, "billing", "order")
        assert connection.execute(text(settings)).one() == before
