"""A broker that hangs, is down, or ends in mid-stream: the relay waits, and loses nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from mdb_sqla import RetryPolicy, StoredMessage, Unavailable
from mdb_sqla.relay.broker_target import Destination, dotted
from mdb_sqla.relay.envelope import Envelope
from mdb_sqla.relay.publisher import Publisher
from tests.relay.conftest import until
from tests.waiting import collect_garbage

ONCE = RetryPolicy(max_attempts=1)


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Collect in the test, which lets pass what it says of it, what FastStream leaves behind."""
    yield
    collect_garbage()


# Its producer of aiokafka, where that can't be started.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*AIOKafkaProducer:pytest.PytestUnraisableExceptionWarning"
)


def first_arrivals(found: Any) -> list[tuple[str, int]]:
    """The places of messages in the order in which each arrived first."""
    return list(dict.fromkeys(told.place for told in found))


def assert_in_order(places: list[tuple[str, int]], number: int) -> None:
    assert len(places) == number
    streams = {name for name, _ in places}
    for stream in streams:
        positions = [position for name, position in places if name == stream]
        assert positions == list(range(len(positions)))


def test_the_position_moves_after_the_confirm(shop: Any, receiving: Any, waits: Any) -> None:
    relay = shop.relay(receiving, timeout=0.3, retry_policy=ONCE, on_failure="dead_letter")

    async def scenario() -> None:
        async with shop.running(relay):
            shop.write(1, "before")
            await until(lambda: shop.position() == 1)
            receiving.server.pause()
            shop.write(1, "after")
            await until(lambda: len(waits()) >= 2)
            assert shop.position() == 1
            receiving.server.resume()
            await until(lambda: shop.position() == 2)

    shop.run(scenario())

    assert shop.dead_letters() == []
    places = [told.place[1] for told in shop.run(receiving.received())]
    assert list(dict.fromkeys(places)) == [0, 1]
    if receiving.option == "subject":
        assert places == [0, 1]


def test_a_broker_that_is_down_at_the_start(shop: Any, receiving: Any, waits: Any) -> None:
    relay = shop.relay(receiving, timeout=2.0, retry_policy=ONCE, on_failure="dead_letter")
    receiving.server.kill()

    async def scenario() -> None:
        async with shop.running(relay):
            shop.write(1, "one")
            await until(lambda: len(waits()) >= 3)
            assert shop.position() == 0
            await asyncio.to_thread(receiving.server.start)
            await until(lambda: shop.position() == 1)

    shop.run(scenario())

    assert shop.dead_letters() == []
    assert {told.place[1] for told in shop.run(receiving.received())} == {0}
    # It has not looked again and again without a break.
    assert len(waits()) < 20


def test_a_broker_that_hangs_at_the_start(shop: Any, receiving: Any, waits: Any) -> None:
    relay = shop.relay(receiving, timeout=0.3, retry_policy=ONCE, on_failure="dead_letter")
    receiving.server.pause()

    async def scenario() -> None:
        async with shop.running(relay):
            shop.write(1, "one")
            await until(lambda: len(waits()) >= 2)
            before = len([*Path("/dev/fd").iterdir()])
            await until(lambda: len(waits()) >= 7)
            # No connection is left behind by each attempt.
            assert len([*Path("/dev/fd").iterdir()]) < before + 3
            receiving.server.resume()
            await until(lambda: shop.position() == 1)

    shop.run(scenario())

    assert shop.dead_letters() == []
    assert {told.place[1] for told in shop.run(receiving.received())} == {0}


@pytest.mark.parametrize("receiving", ["nats", "rabbitmq", "redis"], indirect=True)
def test_cancelled_while_it_connects_to_what_hangs(shop: Any, receiving: Any) -> None:
    sent: list[Any] = []

    def place(message: StoredMessage) -> str:
        sent.append(message.data)
        return str(receiving.place)

    relay = shop.relay(receiving, timeout=2.0, target={receiving.option: place})
    receiving.server.pause()
    shop.write(1, "one")

    async def scenario() -> None:
        before = asyncio.all_tasks()
        run = asyncio.create_task(relay.run_async(shop.factory))
        await until(lambda: sent)
        await asyncio.sleep(0.1)  # it is on its way
        run.cancel()
        await asyncio.wait([run])
        await until(lambda: asyncio.all_tasks() == before)

    shop.run(scenario())
    assert shop.position() == 0


def test_a_broker_that_is_killed_in_mid_stream(shop: Any, receiving: Any) -> None:
    relay = shop.relay(
        receiving, timeout=2.0, max_in_flight=20, retry_policy=ONCE, on_failure="dead_letter"
    )
    number = 600

    async def scenario() -> None:
        async with shop.running(relay):
            await until(lambda: (shop.position() or 0) > number / 4)
            receiving.server.kill()
            at = shop.position()
            await asyncio.to_thread(receiving.server.start)
            assert at is not None
            await until(lambda: shop.position() == number)

    for written in range(number // 6):
        shop.write(written % 5, *range(written * 6, written * 6 + 6))
    shop.run(scenario())

    found = shop.run(receiving.received())
    assert shop.dead_letters() == []
    assert {json.loads(told.body) for told in found} == set(range(number))
    assert_in_order(first_arrivals(found), number)
    if receiving.option == "subject":
        assert len(found) == number


def test_stopping_while_the_broker_is_away(shop: Any, receiving: Any, waits: Any) -> None:
    relay = shop.relay(receiving, timeout=0.3)
    receiving.server.kill()
    shop.write(1, "one")

    async def scenario() -> None:
        async with shop.running(relay):
            await until(waits)

    shop.run(asyncio.wait_for(scenario(), 20))
    assert relay.state == "stopped"
    assert shop.position() == 0


# Not aiokafka: what its producer could not flush in time, it goes on sending.
@pytest.mark.parametrize("receiving", ["nats", "rabbitmq", "redis", "confluent"], indirect=True)
def test_running_again_after_an_end_while_the_broker_hung(shop: Any, receiving: Any) -> None:
    """What could not be closed in time is not taken for connected."""
    sent: list[Any] = []

    def place(message: StoredMessage) -> str:
        sent.append(message.data)
        return str(receiving.place)

    relay = shop.relay(receiving, timeout=1.0, target={receiving.option: place})

    async def scenario() -> None:
        run = asyncio.create_task(relay.run_async(shop.factory))
        await until(lambda: relay.state == "running")
        shop.write(1, "one")
        await until(lambda: shop.position() == 1)
        receiving.server.pause()
        shop.write(1, "two")
        await until(lambda: "two" in sent)
        await asyncio.sleep(0.1)  # it is on its way
        run.cancel()
        await asyncio.wait([run])
        receiving.server.resume()
        async with asyncio.timeout(20):
            await relay.catch_up_async(shop.factory)

    shop.run(scenario())
    assert {told.place[1] for told in shop.run(receiving.received())} == {0, 1}


class Cancelling:
    """A broker whose client cancels what it waits for."""

    name = "nowhere"

    def __init__(self, where: str) -> None:
        self.destination: Destination = dotted
        self._where = where

    async def connect(self, timeout: float) -> None:
        self._cancel("connect")

    async def publish(self, destination: str, envelope: Envelope, timeout: float) -> None:
        self._cancel("publish")

    async def close(self) -> None: ...

    def _cancel(self, where: str) -> None:
        if where == self._where:
            raise asyncio.CancelledError


@pytest.mark.parametrize("where", ["connect", "publish"])
def test_a_client_that_cancels_is_away(where: str) -> None:
    """The message is not at fault, and would be set aside."""
    publisher = Publisher(Cancelling(where), None, timeout=5.0)
    message = StoredMessage(uuid4(), "order-1", "T", 0, 1, {}, {}, datetime.now(UTC))

    async def publish() -> None:
        with pytest.raises(Unavailable, match="nowhere: CancelledError"):
            await publisher(message)

    asyncio.run(publish())
