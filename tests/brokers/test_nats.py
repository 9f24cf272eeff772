"""What JetStream keeps, and what it does while its server is away or hangs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats.errors
import pytest
from faststream.nats import NatsBroker, StreamConfig
from nats.js.errors import APIError, NoStreamResponseError

from tests.brokers.nats_server import NatsCluster, NatsServer

PATIENCE = 30.0  # seconds
AWAY = (nats.errors.TimeoutError, NoStreamResponseError, APIError)
"""What a publisher is told while a stream has no leader: it has to try again."""


@asynccontextmanager
async def connected(server: NatsServer | NatsCluster) -> AsyncIterator[NatsBroker]:
    broker = NatsBroker(server.url, logger=None, reconnect_time_wait=0)
    await broker.connect()
    try:
        yield broker
    finally:
        await broker.stop()


async def make_stream(broker: NatsBroker, name: str, replicas: int = 1) -> None:
    stream = StreamConfig(name=name, subjects=[f"{name}.>"], num_replicas=replicas)
    await broker.connection.jetstream().add_stream(stream)


async def publish(broker: NatsBroker, stream: str, number: int, timeout: float = 1) -> bool:
    """Publish a message under an id; tells whether there was one under that id already."""
    headers = {"Nats-Msg-Id": str(number)}
    subject = f"{stream}.published"
    told = await broker.publish(number, subject, headers, stream=stream, timeout=timeout)
    return bool(told.duplicate)


async def published(broker: NatsBroker, stream: str) -> list[int]:
    jetstream = broker.connection.jetstream()
    last = (await jetstream.stream_info(stream)).state.last_seq
    messages = [await jetstream.get_msg(stream, number) for number in range(1, last + 1)]
    return [int(message.data or b"") for message in messages]


def test_what_is_published_outlives_a_kill(nats_server: NatsServer, name: str) -> None:
    async def before() -> None:
        async with connected(nats_server) as broker:
            await make_stream(broker, name)
            for number in range(100):
                assert not await publish(broker, name, number)

    async def after() -> None:
        async with connected(nats_server) as broker:
            assert await published(broker, name) == list(range(100))
            assert await publish(broker, name, 99), "its id is known after a kill as well"
            assert len(await published(broker, name)) == 100

    asyncio.run(before())
    nats_server.kill()
    nats_server.start()
    asyncio.run(after())


def test_a_paused_server_times_out(nats_server: NatsServer, name: str) -> None:
    async def scenario() -> None:
        async with connected(nats_server) as broker:
            await make_stream(broker, name)
            nats_server.pause()
            with pytest.raises(nats.errors.TimeoutError):
                await publish(broker, name, 1, timeout=0.2)
            nats_server.resume()
            # What timed out has arrived all the same.
            assert await publish(broker, name, 1)
            assert await published(broker, name) == [1]

    asyncio.run(scenario())


@pytest.mark.parametrize("number", range(3))
def test_a_node_is_killed_while_messages_are_published(
    nats_cluster: NatsCluster, name: str, number: int
) -> None:
    node = nats_cluster.nodes[number]

    async def publish_until_told(broker: NatsBroker, number: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                await publish(broker, name, number)
                return
            except AWAY:
                assert time.monotonic() < deadline

    async def scenario() -> None:
        async with connected(nats_cluster) as broker:
            await make_stream(broker, name, replicas=3)
            for message in range(300):
                if message == 100:
                    node.kill()
                if message == 200:
                    await asyncio.to_thread(node.start)
                await publish_until_told(broker, message)
            assert await published(broker, name) == list(range(300))

    asyncio.run(scenario())


def test_a_whole_cluster_outlives_a_kill(nats_cluster: NatsCluster, name: str) -> None:
    async def before() -> None:
        async with connected(nats_cluster) as broker:
            await make_stream(broker, name, replicas=3)
            for number in range(100):
                await publish(broker, name, number)

    async def after() -> None:
        async with connected(nats_cluster) as broker:
            assert await published(broker, name) == list(range(100))
            assert await publish(broker, name, 99)

    asyncio.run(before())
    nats_cluster.kill()
    nats_cluster.start()
    asyncio.run(after())
