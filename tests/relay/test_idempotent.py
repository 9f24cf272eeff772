"""Idempotent producers of Kafka, which a relay has unless it is told otherwise."""

from __future__ import annotations

import asyncio
import ctypes
import json
from pathlib import Path
from typing import Any

import confluent_kafka
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import OutOfOrderSequenceNumber
from confluent_kafka import KafkaError, Producer

from mdb_sqla import Group, Message, RetryPolicy
from tests.relay.conftest import IDEMPOTENT, until
from tests.relay.test_outages import assert_in_order, first_arrivals

idempotent = pytest.mark.parametrize("receiving", IDEMPOTENT, indirect=True)


@idempotent
def test_each_stream_arrives_once_and_in_order(
    shop: Any, receiving: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(100):
        shop.write(number % 7, number, number + 1000)
    relay = shop.relay(receiving, max_in_flight=25, group=Group(slots=4))
    shop.run(relay.catch_up_async(shop.factory))

    assert "is blocked" not in caplog.text
    assert_in_order([told.place for told in shop.run(receiving.received())], 200)


def waiting(broker: str, timeout: float, patience: int, how: str) -> Any:
    return pytest.param(broker, timeout, patience, id=f"{broker}-{how}")


@pytest.mark.parametrize(
    ("receiving", "timeout", "patience"),
    [
        *(waiting(broker, 20.0, 60_000, "waited for") for broker in IDEMPOTENT),
        *(waiting(broker, 0.3, 60_000, "given up by the relay") for broker in IDEMPOTENT),
        # That of aiokafka never gives up.
        waiting("idempotent_confluent", 20.0, 300, "given up by the producer"),
    ],
    indirect=["receiving"],
)
def test_brokers_that_hang_in_mid_stream(
    shop: Any, receiving: Any, timeout: float, patience: int, waits: Any
) -> None:
    is_waited_for = timeout > 1 and patience > 1000
    options = {"target": {"patience": patience}} if patience < 1000 else {}
    once = RetryPolicy(max_attempts=1)
    relay = shop.relay(receiving, timeout=timeout, max_in_flight=20, retry_policy=once, **options)
    number = 600

    async def scenario() -> None:
        async with shop.running(relay):
            await until(lambda: (shop.position() or 0) > number / 4)
            receiving.server.pause()
            if is_waited_for:
                await asyncio.sleep(1)  # this long they hang
            else:
                await until(waits)
            receiving.server.resume()
            await until(lambda: shop.position() == number)

    for written in range(number // 6):
        shop.write(written % 5, *range(written * 6, written * 6 + 6))
    shop.run(scenario())

    found = shop.run(receiving.received())
    assert {json.loads(told.body) for told in found} == set(range(number))
    assert_in_order(first_arrivals(found), number)
    if is_waited_for:
        assert not waits()
        assert len(found) == number


@idempotent
def test_what_is_too_large_fails_no_other(
    shop: Any, receiving: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(20):
        shop.write(number, number)
    shop.write("large", Message("T", "x" * 1_100_000))
    for number in range(20, 40):
        shop.write(number, number)
    relay = shop.relay(
        receiving,
        max_in_flight=15,
        retry_policy=RetryPolicy(max_attempts=2, initial_interval=0.01),
        on_failure="dead_letter",
    )
    shop.run(relay.catch_up_async(shop.factory))

    assert "is blocked" not in caplog.text
    assert [dead.global_position for dead in shop.dead_letters()] == [21]
    found = shop.run(receiving.received())
    assert sorted(json.loads(told.body) for told in found) == list(range(40))


class Producers:
    """Those that FastStream has made."""

    where: str
    kind: Any

    def __init__(self) -> None:
        self.made: list[Any] = []

    def make(self, *arguments: Any, **options: Any) -> Any:
        self.made.append(self.kind(*arguments, **options))
        return self.made[-1]

    def fail(self) -> None:
        """Have the newest fail for good."""
        raise NotImplementedError


class OfAiokafka(Producers):
    where, kind = "aiokafka.AIOKafkaProducer", AIOKafkaProducer

    def fail(self) -> None:
        self.made[-1]._message_accumulator.fail_all(OutOfOrderSequenceNumber())


class OfLibrdkafka(Producers):
    where, kind = "faststream.confluent.helpers.client.Producer", Producer

    def fail(self) -> None:
        folder = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
        library = ctypes.CDLL(str(next(folder.glob("librdkafka*"))))
        # A Python object begins with two words of its own; its handle comes next.
        words = ctypes.sizeof(ctypes.c_void_p) * 2
        handle = ctypes.c_void_p.from_address(id(self.made[-1]) + words)
        code = KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER
        assert library.rd_kafka_test_fatal_error(handle, code, b"for a test") == 0


@pytest.mark.parametrize(
    ("receiving", "kind"),
    [("idempotent_kafka", OfAiokafka), ("idempotent_confluent", OfLibrdkafka)],
    indirect=["receiving"],
)
def test_a_producer_that_has_failed_for_good(
    shop: Any, receiving: Any, kind: type[Producers], monkeypatch: pytest.MonkeyPatch
) -> None:
    producers = kind()
    monkeypatch.setattr(producers.where, producers.make)

    async def scenario() -> None:
        async with shop.running(shop.relay(receiving)):
            shop.write(1, "one")
            await until(lambda: shop.position() == 1)
            producers.fail()
            shop.write(1, "two")
            await until(lambda: shop.position() == 2)

    shop.run(scenario())
    assert len(producers.made) == 2
    assert [told.place[1] for told in shop.run(receiving.received())] == [0, 1]
