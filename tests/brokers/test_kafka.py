"""What a broker of Kafka's kind keeps, and what it does while it's away or hangs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol, cast

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException
from faststream.confluent import ConfluentConfig
from faststream.confluent import KafkaBroker as ConfluentBroker
from faststream.kafka import KafkaBroker

from tests.brokers.kafka_server import KafkaServer

PATIENCE = 20.0  # seconds
KEY = b"one partition"


class Connected(Protocol):
    def __call__(
        self, server: KafkaServer, patience: float = PATIENCE
    ) -> AbstractAsyncContextManager[Any]: ...


@asynccontextmanager
async def aiokafka(server: KafkaServer, patience: float = PATIENCE) -> AsyncIterator[KafkaBroker]:
    timeout = int(patience * 1000)
    broker = KafkaBroker(server.url, acks="all", logger=None, request_timeout_ms=timeout)
    await broker.connect()
    try:
        yield broker
    finally:
        await broker.stop()


@asynccontextmanager
async def confluent(
    server: KafkaServer, patience: float = PATIENCE
) -> AsyncIterator[ConfluentBroker]:
    broker = ConfluentBroker(
        server.url,
        acks="all",
        allow_auto_create_topics=False,
        logger=None,
        # FastStream writes down fewer of the settings than it passes on.
        config=cast("ConfluentConfig", {"message.timeout.ms": int(patience * 1000)}),
    )
    await broker.connect()
    try:
        yield broker
    finally:
        await broker.stop()


@pytest.fixture(params=[aiokafka, confluent])
def connected(request: pytest.FixtureRequest) -> Connected:
    connect: Connected = request.param
    return connect


async def make_topic(server: KafkaServer, name: str) -> None:
    administration = AIOKafkaAdminClient(bootstrap_servers=server.url)
    await administration.start()
    await administration.create_topics([NewTopic(name, num_partitions=3, replication_factor=1)])
    await administration.close()


async def published(server: KafkaServer, topic: str) -> list[int]:
    """Read to the end as it is now; the messages have one key, so they are in one partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=server.url, auto_offset_reset="earliest")
    await consumer.start()
    partitions = [TopicPartition(topic, number) for number in range(3)]
    messages = []
    try:
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        async with asyncio.timeout(PATIENCE):
            # Not so many as the offsets say: tansu leaves some out where it was killed.
            for partition in partitions:
                while await consumer.position(partition) < ends[partition]:
                    messages.append(await consumer.getone(partition))
    finally:
        await consumer.stop()
    assert len({message.partition for message in messages}) == 1
    return [int(message.value) for message in messages]


def test_what_is_confirmed_outlives_a_kill(
    kafka_server: KafkaServer, name: str, connected: Connected
) -> None:
    async def before() -> None:
        await make_topic(kafka_server, name)
        async with connected(kafka_server) as broker:
            for number in range(100):
                await broker.publish(number, name, key=KEY)

    asyncio.run(before())
    kafka_server.kill()
    kafka_server.start()
    assert asyncio.run(published(kafka_server, name)) == list(range(100))


def test_a_publisher_goes_on_after_a_kill(
    kafka_server: KafkaServer, name: str, connected: Connected
) -> None:
    async def scenario() -> None:
        await make_topic(kafka_server, name)
        async with connected(kafka_server) as broker:
            for number in range(100):
                if number == 50:
                    kafka_server.kill()
                    kafka_server.start()
                await broker.publish(number, name, key=KEY)

    asyncio.run(scenario())
    assert asyncio.run(published(kafka_server, name)) == list(range(100))


def test_a_paused_server_times_out(
    kafka_server: KafkaServer, name: str, connected: Connected
) -> None:
    async def scenario() -> None:
        await make_topic(kafka_server, name)
        async with connected(kafka_server, patience=2) as broker:
            await broker.publish(1, name, key=KEY)
            kafka_server.pause()
            with pytest.raises((KafkaError, KafkaException)):
                await broker.publish(2, name, key=KEY)
            kafka_server.resume()
        async with connected(kafka_server) as broker:
            await broker.publish(3, name, key=KEY)

    asyncio.run(scenario())
    arrived = asyncio.run(published(kafka_server, name))
    # What timed out may have arrived all the same.
    assert [number for number in arrived if number != 2] == [1, 3]


def test_publishing_makes_no_topic(kafka_server: KafkaServer, name: str) -> None:
    async def scenario() -> None:
        async with confluent(kafka_server, patience=1) as broker:
            with pytest.raises(KafkaException):
                await broker.publish(1, name, key=KEY)

    asyncio.run(scenario())
