"""Clients that would stay useless though their broker is there again: a relay replaces them."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from aio_pika import connect
from aio_pika.abc import AbstractChannel, AbstractExchange
from faststream.nats import NatsBroker
from faststream.rabbit import Channel, RabbitBroker
from faststream.redis import RedisBroker
from redis.asyncio import Redis

from mdb_sqla import Message, RetryPolicy
from mdb_sqla.relay import Relay
from mdb_sqla.relay.nats import JetStream
from mdb_sqla.relay.rabbitmq import RabbitMQ
from mdb_sqla.relay.redis import RedisStreams
from tests.relay.conftest import POLL, until

ONCE = RetryPolicy(max_attempts=1)


def test_one_of_nats_that_does_not_connect_again(shop: Any, nats: Any) -> None:
    broker = NatsBroker(nats.server.url, allow_reconnect=False, logger=None)
    relay = Relay(
        "relay", shop.category, to=JetStream(broker, stream=shop.category), poll_interval=POLL
    )

    async def scenario() -> None:
        async with shop.running(relay):
            shop.write(1, "one")
            await until(lambda: shop.position() == 1)
            await asyncio.to_thread(nats.server.stop)
            await asyncio.to_thread(nats.server.start)
            shop.write(1, "two")
            await until(lambda: shop.position() == 2)

    shop.run(scenario())
    assert [told.place[1] for told in shop.run(nats.received())] == [0, 1]


def test_one_of_nats_that_was_connected_before(shop: Any, nats: Any) -> None:
    broker = NatsBroker(nats.server.url, logger=None)
    relay = Relay(
        "relay", shop.category, to=JetStream(broker, stream=shop.category), poll_interval=POLL
    )

    async def scenario() -> None:
        unused = await broker.connect()
        await relay.catch_up_async(shop.factory)
        assert unused.is_closed
        used = await broker.connect()
        shop.write(1, "one")
        await relay.catch_up_async(shop.factory)
        assert used.is_closed
        assert used.stats["out_msgs"] > 0

    shop.run(scenario())
    assert len(shop.run(nats.received())) == 1


def test_why_nats_is_not_reached(shop: Any, nats: Any, waits: Any) -> None:
    shop.write(1, "one")
    nats.server.kill()
    target = JetStream(NatsBroker(nats.server.url, logger=None), stream=shop.category)
    relay = Relay("relay", shop.category, to=target, timeout=0.3, poll_interval=POLL)

    async def scenario() -> None:
        async with shop.running(relay):
            await until(waits)

    shop.run(scenario())
    assert "Connect call failed" in waits()[0]


def test_a_channel_whose_exchange_was_away(shop: Any, rabbitmq: Any, waits: Any) -> None:
    name = f"{shop.category}.exchange"

    async def make(channel: AbstractChannel) -> AbstractExchange:
        exchange = await channel.declare_exchange(name)
        await (await channel.get_queue(rabbitmq.place)).bind(exchange, rabbitmq.place)
        return exchange

    async def scenario() -> None:
        async with await connect(rabbitmq.server.url) as connection:
            channel = await connection.channel()
            exchange = await make(channel)
            relay = shop.relay(rabbitmq, target={"exchange": name})
            async with shop.running(relay):
                shop.write(1, "one")
                await until(lambda: shop.position() == 1)
                await exchange.delete()
                shop.write(1, "two")
                # By then the channel has been opened again, and has failed again.
                await until(lambda: len(waits()) >= 6)
                await make(channel)
                await until(lambda: shop.position() == 2)

    shop.run(scenario())
    assert [told.place[1] for told in shop.run(rabbitmq.received())] == [0, 1]


def test_a_channel_that_raises_what_is_returned(shop: Any, rabbitmq: Any) -> None:
    broker = RabbitBroker(
        rabbitmq.server.url, default_channel=Channel(on_return_raises=True), logger=None
    )
    target = RabbitMQ(broker, routing_key=lambda message: f"{shop.category}.{message.data}")
    shop.write(1, "T")
    shop.write(2, "nowhere")
    relay = Relay(
        "relay",
        shop.category,
        to=target,
        retry_policy=ONCE,
        on_failure="dead_letter",
        poll_interval=POLL,
    )
    shop.run(relay.catch_up_async(shop.factory))

    (failed,) = shop.dead_letters()
    assert "no queue is bound for" in failed.error
    assert len(shop.run(rabbitmq.received())) == 1


def test_a_channel_without_confirms_publishes_nothing(shop: Any, rabbitmq: Any, waits: Any) -> None:
    channel = Channel(publisher_confirms=False)
    broker = RabbitBroker(rabbitmq.server.url, default_channel=channel, logger=None)
    relay = Relay("relay", shop.category, to=RabbitMQ(broker), poll_interval=POLL)

    async def scenario() -> None:
        async with shop.running(relay):
            shop.write(1, "one")
            await until(lambda: len(waits()) >= 2)

    shop.run(scenario())
    assert "must have publisher_confirms=True" in waits()[-1]
    assert shop.run(rabbitmq.received()) == []


def test_connections_to_what_has_become_a_replica(shop: Any, redis: Any, waits: Any) -> None:
    async def scenario() -> None:
        async with Redis.from_url(redis.server.url) as client, shop.running(shop.relay(redis)):
            own = await client.client_id()
            shop.write(1, "one")
            await until(lambda: shop.position() == 1)
            before = {each["id"] for each in await client.client_list()} - {str(own)}
            await client.replicaof("127.0.0.1", "1")
            shop.write(1, "two")
            await until(waits)
            after = {each["id"] for each in await client.client_list()}
            await client.replicaof("NO", "ONE")
            assert before
            assert not before & after
            await until(lambda: shop.position() == 2)

    shop.run(scenario())
    assert [told.place[1] for told in shop.run(redis.received())] == [0, 1]


@pytest.mark.parametrize("receiving", ["nats", "rabbitmq"], indirect=True)
def test_a_type_that_is_too_long_stops_no_other(
    shop: Any, receiving: Any, caplog: pytest.LogCaptureFixture
) -> None:
    shop.write(1, "one")
    shop.write(2, Message("T" * 5_000, "two"))
    shop.write(3, "three")
    relay = shop.relay(receiving, retry_policy=ONCE, on_failure="dead_letter")
    shop.run(relay.catch_up_async(shop.factory))

    assert "is blocked" not in caplog.text
    assert re.search("too long|exceeds", shop.dead_letters()[0].error)
    assert len(shop.run(receiving.received())) == 2


def test_few_connections_of_redis(shop: Any, redis: Any, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(60):
        shop.write(number, number)
    target = RedisStreams(RedisBroker(f"{redis.server.url}?max_connections=4"))
    shop.run(
        Relay("relay", shop.category, to=target, poll_interval=POLL).catch_up_async(shop.factory)
    )

    assert "is blocked" not in caplog.text
    assert len(shop.run(redis.received())) == 60
