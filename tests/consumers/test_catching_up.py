"""Consumers run together until none of them has anything left to do."""

from __future__ import annotations

import time
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import sessionmaker

from mdb_sqla import Consumer, Group, HandlerFailed, InvalidArgument, Message, RetryPolicy
from mdb_sqla.consumers.dead_letter_queue import replay
from mdb_sqla.testing.catch_up import NotCaughtUp, catch_up, catch_up_async


def run(application: Any, *consumers: Consumer, **options: Any) -> None:
    if application.flavour.asynchronous:
        application.flavour.run(catch_up_async(application.factory, *consumers, **options))
    else:
        catch_up(application.factory, *consumers, **options)


def passing_on(category: str, to: str, until: int, **options: Any) -> Consumer:
    """A consumer that writes the next number for the one that reads the other category."""
    consumer = Consumer(category, category, **options)

    @consumer.on("T")
    def pass_on(message: Any, unit: Any) -> None:
        unit.session.execute(
            text("INSERT INTO effects (number) VALUES (:number)"), {"number": message.data}
        )
        if message.data < until:
            unit.write(f"{to}-1", Message("T", message.data + 1).follow(message))

    return consumer


def test_those_that_feed_one_another(application: Any) -> None:
    """Whatever their order, and the one that reads last is fed by the one that reads first."""
    consumers = [passing_on("a", "b", 20), passing_on("c", "a", 20), passing_on("b", "c", 20)]
    application.write("a-1", 1)

    run(application, *consumers)

    assert application.effects() == list(range(1, 21))


@pytest.mark.parametrize(
    "options", [{}, {"batch_size": 1}, {"group": Group(slots=3, member="m")}], ids=str
)
def test_one_that_feeds_itself(application: Any, options: Any) -> None:
    application.write("a-1", 1)
    run(application, passing_on("a", "a", 20, **options))

    assert application.effects() == list(range(1, 21))


def test_those_with_filters_and_without_a_handler(application: Any) -> None:
    """Their positions are not saved at every message."""
    filtered = passing_on("a", "b", 5, correlation="shop")
    idle = Consumer("idle")
    idle.on("Other")(lambda message, unit: None)
    application.write("a-1", 1, correlationStreamName="shop-1")
    application.write("a-1", 2)
    run(application, idle, filtered, passing_on("b", "a", 5))

    assert application.effects() == [1, 2, 3, 4, 5]


def test_what_is_replayed(application: Any) -> None:
    """It feeds others, though no position moves."""
    consumer = Consumer(
        "careful", "a", on_failure="dead_letter", retry_policy=RetryPolicy(max_attempts=1)
    )
    failures = iter([ZeroDivisionError("first")])

    @consumer.on("T")
    def forward(message: Any, unit: Any) -> None:
        for failure in failures:
            raise failure
        unit.write("b-1", Message("T", message.data))

    application.write("a-1", 1)
    fed = passing_on("b", "c", 0)
    run(application, fed, consumer)
    assert application.effects() == []
    with application.engine.begin() as connection:
        assert replay(connection, "careful") == 1
    run(application, fed, consumer)

    assert application.effects() == [1]


@pytest.mark.parametrize("options", [{}, {"batch_size": 1}], ids=str)
def test_an_endless_loop_is_an_error(application: Any, options: Any) -> None:
    """Also within one run, which has no end where every batch is full."""
    consumers = [passing_on("a", "b", 10**9), passing_on("b", "b", 10**9, **options)]
    application.write("a-1", 1)

    with pytest.raises(
        NotCaughtUp, match=r"called 30 times, but consumer 'b' has more to handle.*'b-1'"
    ):
        run(application, *consumers, limit=30)

    assert application.effects() == list(range(1, 31))


def test_the_limit_may_be_reached(application: Any) -> None:
    application.write("a-1", 1)
    run(application, passing_on("a", "b", 30), passing_on("b", "a", 30), limit=30)

    assert application.effects() == list(range(1, 31))


def test_the_limit_is_of_calls_and_not_of_transactions(application: Any) -> None:
    application.write("a-1", *range(20))
    with pytest.raises(NotCaughtUp):
        run(application, passing_on("a", "b", 0, transaction_size=10), limit=19)

    assert application.effects() == list(range(10))


def test_a_failing_handler_is_tried_again_at_once(application: Any) -> None:
    """With pauses it would be most of a minute."""
    consumer = Consumer("failing", "a")
    tried = []

    @consumer.on("T")
    def fail(message: Any, unit: Any) -> None:
        tried.append(message.data)
        raise ZeroDivisionError

    application.write("a-1", 1)
    begin = time.monotonic()
    with pytest.raises(HandlerFailed):
        run(application, consumer)

    assert tried == [1] * 10
    assert time.monotonic() - begin < 10


def test_goes_on_after_a_lost_connection(application: Any) -> None:
    consumer = Consumer("cut", "a")
    first = iter([True])

    @consumer.on("T")
    def cut_off_once(message: Any, unit: Any) -> None:
        unit.session.execute(text("INSERT INTO effects (number) VALUES (1)"))
        for _ in first:
            unit.session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    application.write("a-1", 1)
    run(application, consumer)

    assert application.effects() == [1]


def test_a_server_that_is_not_there_is_an_error(application: Any) -> None:
    url = application.flavour.engine.url.set(host="127.0.0.1", port=1, query={})
    create: Any = create_async_engine if application.flavour.asynchronous else create_engine
    application.factory.configure(bind=create(url))

    with pytest.raises((DBAPIError, OSError), match=r"refused|Connect call failed"):
        run(application, passing_on("a", "b", 0))


def test_no_consumer_is_an_error(application: Any) -> None:
    with pytest.raises(InvalidArgument, match="at least one consumer"):
        run(application)


def test_an_async_handler_must_be_awaited(application: Any) -> None:
    consumer = Consumer("async", "a")

    @consumer.on("T")
    async def leave(message: Any, unit: Any) -> None: ...

    with pytest.raises(InvalidArgument, match="is async"):
        catch_up(sessionmaker(application.engine), consumer)


def test_a_transaction_of_the_application_can_not_be_joined(application: Any) -> None:
    application.write("a-1", 1)
    consumer = passing_on("a", "b", 1)
    with application.flavour.connection() as connection:
        application.factory.configure(bind=connection)
        # One that begins anew each time is as good as an engine.
        run(application, consumer)
        application.flavour.run(connection.execute(text("SELECT 1")))
        with pytest.raises(InvalidArgument, match="bind it to the engine"):
            run(application, consumer)
