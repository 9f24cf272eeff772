"""What RabbitMQ keeps, and what it does while it hangs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from faststream.rabbit import QueueType, RabbitBroker, RabbitQueue

from tests.brokers.rabbitmq_server import RabbitmqServer

PATIENCE = 20.0  # seconds


@asynccontextmanager
async def connected(server: RabbitmqServer) -> AsyncIterator[RabbitBroker]:
    broker = RabbitBroker(server.url, logger=None)
    await broker.connect()
    try:
        yield broker
    finally:
        await broker.stop()


async def publish(broker: RabbitBroker, queue: str, number: int, timeout: float = 10) -> None:
    """Publish a message and wait until it is confirmed."""
    # The time-out that `publish` takes is not for the confirmation, which it waits for without end.
    async with asyncio.timeout(timeout):
        await broker.publish(number, queue, persist=True, message_id=str(number))


async def consume(broker: RabbitBroker, queue: RabbitQueue, count: int) -> list[int]:
    """Take so many messages from the queue."""
    declared = await broker.declare_queue(queue)
    numbers: list[int] = []
    async with asyncio.timeout(PATIENCE), declared.iterator() as messages:
        async for message in messages:
            await message.ack()
            numbers.append(int(message.body))
            if len(numbers) == count:
                break
    return numbers


def test_what_is_confirmed_outlives_a_kill(rabbitmq_server: RabbitmqServer, name: str) -> None:
    # Not a classic queue: one that is declared just after the start may be gone after a kill,
    # though all of it is on the disk (7 of 139, with RabbitMQ 3.10.8).
    queue = RabbitQueue(name, queue_type=QueueType.QUORUM)

    async def before() -> None:
        async with connected(rabbitmq_server) as broker:
            await broker.declare_queue(queue)
            for number in range(100):
                await publish(broker, name, number)

    async def after() -> None:
        async with connected(rabbitmq_server) as broker:
            assert await consume(broker, queue, 100) == list(range(100))

    asyncio.run(before())
    rabbitmq_server.wait_until_recorded(name)
    rabbitmq_server.kill()
    rabbitmq_server.start()
    asyncio.run(after())


def test_a_paused_server_times_out(rabbitmq_server: RabbitmqServer, name: str) -> None:
    queue = RabbitQueue(name, queue_type=QueueType.QUORUM)

    async def scenario() -> None:
        async with connected(rabbitmq_server) as broker:
            await broker.declare_queue(queue)
            rabbitmq_server.pause()
            with pytest.raises(TimeoutError):
                await publish(broker, name, 1, timeout=0.2)
            rabbitmq_server.resume()
            await publish(broker, name, 2)
            # What timed out has arrived all the same.
            assert await consume(broker, queue, 2) == [1, 2]

    asyncio.run(scenario())
