"""A consumer that runs until it is stopped."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from mdb_sqla import Consumer, RetryPolicy


def run_until(application: Any, consumer: Consumer, done: threading.Event, write: Any) -> None:
    """Run the consumer, write while it runs, and stop it when it is done."""

    def wait() -> None:
        try:
            write()
            assert done.wait(20)
        finally:
            consumer.stop()

    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(wait)
        if application.flavour.asynchronous:
            application.flavour.run(consumer.run_async(application.factory))
        else:
            consumer.run(application.factory)
        waiting.result()


def test_handles_what_comes_later_and_stops(application: Any, handler: Any) -> None:
    consumer = Consumer("billing", "order")
    consumer.on("T")(handler)
    done = threading.Event()
    consumer.on("Last")(lambda message, unit: done.set())

    def write() -> None:
        for number in range(10):
            application.write("order-1", number)
        application.write("order-1", 0, type_="Last")

    run_until(application, consumer, done, write)

    assert application.effects() == list(range(10))
    assert application.position("billing") == 11


def test_stops_while_it_waits_to_try_again(application: Any) -> None:
    consumer = Consumer(
        "billing", "order", retry_policy=RetryPolicy(initial_interval=60, max_interval=60)
    )
    failed = threading.Event()

    @consumer.on("T")
    def fail(message: Any, unit: Any) -> None:
        failed.set()
        raise ZeroDivisionError

    run_until(application, consumer, failed, lambda: application.write("order-1", 1))

    assert application.position("billing") == 0


def test_stops_after_the_message_in_hand(application: Any) -> None:
    consumer = Consumer("billing", "order")
    handled: list[int] = []
    first = threading.Event()

    @consumer.on("T")
    def handle(message: Any, unit: Any) -> None:
        handled.append(message.data)
        consumer.stop()
        first.set()

    run_until(application, consumer, first, lambda: application.write("order-1", 1, 2, 3))

    assert handled == [1]
    assert application.position("billing") == 1


def test_saves_a_position_that_came_not_far_when_it_is_idle(application: Any) -> None:
    consumer = Consumer("billing", "order", poll_interval=(0.01, 0.02))
    consumer.on("T")(lambda message, unit: None)
    saved = threading.Event()

    def wait() -> None:
        application.write("order-1", 1, 2, 3, type_="Other")
        for _ in range(1000):
            if application.position("billing") == 3:
                saved.set()
                return
            threading.Event().wait(0.01)

    run_until(application, consumer, saved, wait)


def test_a_pool_that_others_use_up_is_waited_for(application: Any) -> None:
    if application.flavour.asynchronous:
        pytest.skip("it is the same step for all")
    engine = create_engine(
        application.engine.url, pool_size=1, max_overflow=0, pool_timeout=0.05, pool_pre_ping=True
    )
    consumer = Consumer("billing", "order", poll_interval=(0.01, 0.05))
    handled = threading.Event()
    consumer.on("T")(lambda message, unit: handled.set())
    application.write("order-1", 1)
    running = threading.Thread(target=consumer.run, args=(sessionmaker(engine),))
    with engine.connect():
        running.start()
        assert not handled.wait(0.3)

    assert handled.wait(20)
    consumer.stop()
    running.join(20)
    engine.dispose()
