"""What is counted and measured, with attributes that have few values."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import Consumer, Message, MessageStore, RetryPolicy, WrongExpectedVersion
from tests.telemetry.spans import Spans, measured

TWICE = RetryPolicy(max_attempts=2, initial_interval=0.001, max_interval=0.001)

SENT = "messaging.client.sent.messages"
CONSUMED = "messaging.client.consumed.messages"
OPERATION = "messaging.client.operation.duration"
PROCESS = "messaging.process.duration"
FAILED = "mdb_sqla.consumer.failed.messages"
RETRIED = "mdb_sqla.consumer.retried.messages"
DEAD_LETTERED = "mdb_sqla.consumer.dead_lettered.messages"


def of(**attributes: str) -> tuple[tuple[str, str], ...]:
    values = {name.replace("_", "."): value for name, value in attributes.items()}
    return tuple(sorted({"system": "mdb_sqla", **values}.items()))


def write(engine: Engine, *pairs: tuple[str, Message]) -> None:
    with Session(engine) as session, session.begin():
        MessageStore(session).write_messages(pairs)


def test_writes(engine: Engine, reader: InMemoryMetricReader) -> None:
    write(engine, ("order-1", Message("A")), ("order-2", Message("B")), ("invoice-1", Message("C")))
    write(engine, ("order-1", Message("D")))
    with Session(engine) as session, pytest.raises(WrongExpectedVersion):
        MessageStore(session).write("order-1", Message("E"), expected_version=9)

    refused = "mdb_sqla.errors.WrongExpectedVersion"
    assert measured(reader) == {
        SENT: {
            of(operation_name="send", destination_name="order"): 3,
            of(operation_name="send", destination_name="invoice"): 1,
            of(operation_name="send", destination_name="order", error_type=refused): 1,
        },
        OPERATION: {
            of(operation_name="send"): 1,
            of(operation_name="send", destination_name="order"): 1,
            of(operation_name="send", destination_name="order", error_type=refused): 1,
        },
    }


def test_metrics_alone_add_nothing_to_messages(engine: Engine, reader: Any) -> None:
    write(engine, ("order-1", Message("A")))
    with engine.connect() as connection:
        (found,) = MessageStore(connection).read_category("order")
    assert found.metadata == {}


def test_loads(engine: Engine, reader: InMemoryMetricReader) -> None:
    with Session(engine) as session, session.begin():
        MessageStore(session).load(("order-1", Message("A")) for _ in range(10))

    assert measured(reader)[SENT] == {of(operation_name="send", destination_name="order"): 10}


class Failing:
    """A consumer that fails for `B` as long as it is broken, and for `C` always."""

    def __init__(self, engine: Engine, **options: Any) -> None:
        self.broken = True
        self.consumer = Consumer(
            "billing", "order", on_failure="dead_letter", retry_policy=TWICE, **options
        )
        self._engine = engine

    def handle(self, message: Any, unit: Any = None) -> None:
        if message.type == "C" or (message.type == "B" and self.broken):
            self.broken = False
            raise ZeroDivisionError


FAILURES: dict[str, dict[tuple[tuple[str, str], ...], int]] = {
    FAILED: {
        of(
            destination_name="order",
            consumer_group_name="billing",
            error_type="ZeroDivisionError",
        ): 3
    },
    RETRIED: {of(destination_name="order", consumer_group_name="billing"): 2},
    DEAD_LETTERED: {
        of(
            destination_name="order",
            consumer_group_name="billing",
            error_type="ZeroDivisionError",
        ): 1,
        of(destination_name="order", consumer_group_name="billing"): 1,
    },
}


@pytest.fixture
def written(engine: Engine) -> Engine:
    # `D` waits behind `C`, and `E` is in another stream.
    for id_, type_ in ((1, "A"), (2, "B"), (3, "C"), (3, "D"), (4, "E")):
        write(engine, (f"order-{id_}", Message(type_)))
    return engine


def test_a_consumer(written: Engine, reader: InMemoryMetricReader) -> None:
    failing = Failing(written)
    failing.consumer.on()(failing.handle)
    failing.consumer.catch_up(sessionmaker(written))

    found = measured(reader)
    attributes = {"destination_name": "order", "consumer_group_name": "billing"}
    assert found[CONSUMED] == {of(operation_name="read", **attributes): 5}
    assert found[OPERATION] == {of(operation_name="read", **attributes): 1}
    assert found[PROCESS] == {
        of(operation_name="process", **attributes): 3,
        of(operation_name="process", error_type="ZeroDivisionError", **attributes): 3,
    }
    assert {name: found[name] for name in FAILURES} == FAILURES


def test_messages_in_flight(written: Engine, reader: InMemoryMetricReader) -> None:
    failing = Failing(written, max_in_flight=10)

    @failing.consumer.on()
    async def handle(message: Any) -> None:
        failing.handle(message)

    async def catch_up() -> None:
        engine = create_async_engine(written.url)
        await failing.consumer.catch_up_async(async_sessionmaker(engine))
        await engine.dispose()

    asyncio.run(catch_up())

    found = measured(reader)
    assert {name: found[name] for name in FAILURES} == FAILURES


def test_durations_have_the_recommended_buckets(
    written: Engine, reader: InMemoryMetricReader
) -> None:
    write(written, ("order-1", Message("F")))
    data: Any = reader.get_metrics_data()
    (metric,) = [
        metric
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
        if metric.name == OPERATION
    ]
    (point,) = metric.data.data_points
    assert metric.unit == "s"
    assert point.explicit_bounds[0] == 0.005
    assert point.explicit_bounds[-1] == 10
    assert 0 < point.sum < 10


def test_streams_and_ids_add_no_attributes(
    engine: Engine, reader: InMemoryMetricReader, spans: Spans
) -> None:
    """However many streams there are, there is a series for each category and consumer."""
    consumer = Consumer("billing", "order", transaction_size=100)
    consumer.on()(lambda message, unit: None)
    for start in range(0, 2000, 100):
        write(engine, *((f"order-{start + n}", Message(f"T{n}")) for n in range(100)))
    write(engine, *((f"order-{n}", Message("A")) for n in range(1000)))
    consumer.catch_up(sessionmaker(engine))

    assert {name: len(series) for name, series in measured(reader).items()} == {
        SENT: 1,
        CONSUMED: 1,
        OPERATION: 2,
        PROCESS: 1,
    }
