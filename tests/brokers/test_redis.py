"""What a Redis stream keeps, and what Redis does while it hangs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis.exceptions
from faststream.redis import BinaryMessageFormatV1, RedisBroker

from tests.brokers.redis_server import RedisServer


@asynccontextmanager
async def connected(server: RedisServer, timeout: float = 10) -> AsyncIterator[RedisBroker]:
    broker = RedisBroker(server.url, socket_timeout=timeout)
    await broker.connect()
    try:
        yield broker
    finally:
        await broker.stop()


async def published(broker: RedisBroker, stream: str) -> list[int]:
    client: Any = await broker.connect()
    entries = await client.xrange(stream)
    bodies = [BinaryMessageFormatV1.parse(fields[b"__data__"])[0] for _, fields in entries]
    return [int(body) for body in bodies]


def test_what_is_published_outlives_a_kill(redis_server: RedisServer, name: str) -> None:
    async def before() -> None:
        async with connected(redis_server) as broker:
            for number in range(100):
                await broker.publish(number, stream=name)

    async def after() -> None:
        async with connected(redis_server) as broker:
            assert await published(broker, name) == list(range(100))

    asyncio.run(before())
    redis_server.kill()
    redis_server.start()
    asyncio.run(after())


def test_a_paused_server_times_out(redis_server: RedisServer, name: str) -> None:
    async def scenario() -> None:
        async with connected(redis_server, timeout=0.2) as broker:
            await broker.publish(1, stream=name)
            redis_server.pause()
            with pytest.raises(redis.exceptions.TimeoutError):
                await broker.publish(2, stream=name)
            redis_server.resume()
            await broker.publish(3, stream=name)
            assert await published(broker, name) == [1, 2, 3]

    asyncio.run(scenario())
