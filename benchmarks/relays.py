"""From the store to a broker, each message confirmed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from time import perf_counter
from typing import Any
from uuid import uuid4

from faststream.nats import JStream, NatsBroker
from faststream.rabbit import ExchangeType, RabbitBroker, RabbitExchange, RabbitQueue
from faststream_outbox import OutboxBroker, make_outbox_table
from sqlalchemy import URL, MetaData, create_engine
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from benchmarks.comparison import OURS, Bar, Comparison, Side
from benchmarks.content import DATA, METADATA, TYPE
from benchmarks.server import Server
from benchmarks.size import Size
from mdb_sqla import Message, MessageStore, StoredMessage
from mdb_sqla.relay import Relay
from mdb_sqla.relay.envelope import JSON, enveloped
from mdb_sqla.relay.nats import JetStream
from mdb_sqla.relay.rabbitmq import RabbitMQ
from mdb_sqla.words.message import Metadata
from tests.brokers.nats_server import NatsServer
from tests.brokers.rabbitmq_server import RabbitmqServer

__all__ = ["relay_to_jetstream", "relay_to_rabbitmq"]

_IN_FLIGHT = 500  # as a relay has them unless it is told otherwise
_STREAMS = 1_000
_WORKERS = 20  # of the outbox, which takes a connection for each
_FLUSH = 50  # of its rows that are deleted at a time
_SUBJECT = f"order.{TYPE}"
_FROM_MEMORY = "from memory"
_OUTBOX = "faststream-outbox"

Publish = Callable[[str], Awaitable[object]]
"""Publishes the same message over FastStream under an id, and waits for the confirm."""

_MESSAGE = StoredMessage(
    uuid4(),
    "order-1",
    TYPE,
    1,
    1,
    DATA,
    Metadata(correlationStreamName="checkout-42", schemaVersion="1"),
    datetime(2026, 1, 1, tzinfo=UTC),
)
_ENVELOPE = enveloped(_MESSAGE, json.dumps, None)
"""What a relay sends of it; all sides send the same."""


@contextmanager
def relay_to_jetstream(server: Server, size: Size) -> Iterator[Comparison]:
    with NatsServer() as nats, server.ours() as ours, server.database() as other:
        asyncio.run(_make_stream(nats.url))
        _fill(ours, size.relayed)

        def publisher(broker: NatsBroker) -> Publish:
            headers = {**_ENVELOPE.headers, "content-type": JSON}
            return lambda id_: broker.publish(
                _ENVELOPE.body,
                _SUBJECT,
                headers={**headers, "Nats-Msg-Id": id_},
                stream="orders",
                timeout=10.0,
            )

        yield _comparison(
            "relay to JetStream",
            0.7,
            _relay(ours, lambda: JetStream(NatsBroker(nats.url), stream="orders"), size.relayed),
            _from_memory(lambda: NatsBroker(nats.url), publisher, size.relayed),
            _outbox(other, lambda: NatsBroker(nats.url), publisher, size.relayed),
        )


@contextmanager
def relay_to_rabbitmq(server: Server, size: Size) -> Iterator[Comparison]:
    with RabbitmqServer() as rabbitmq, server.ours() as ours, server.database() as other:
        exchange = asyncio.run(_make_queue(rabbitmq.url))
        _fill(ours, size.relayed)

        def publisher(broker: RabbitBroker) -> Publish:
            return lambda id_: broker.publish(
                _ENVELOPE.body,
                exchange=exchange,
                routing_key=_SUBJECT,
                persist=True,
                headers={**_ENVELOPE.headers},
                content_type=JSON,
                message_id=id_,
            )

        yield _comparison(
            "relay to RabbitMQ",
            1,
            _relay(
                ours, lambda: RabbitMQ(RabbitBroker(rabbitmq.url), exchange=exchange), size.relayed
            ),
            _from_memory(lambda: RabbitBroker(rabbitmq.url), publisher, size.relayed),
            _outbox(other, lambda: RabbitBroker(rabbitmq.url), publisher, size.relayed),
        )


def _comparison(
    what: str, target: float, relay: Side, from_memory: Side, outbox: Side
) -> Comparison:
    sides = {OURS: relay, _FROM_MEMORY: from_memory, _OUTBOX: outbox}
    return Comparison(
        what, "messages/s", sides, [Bar("S14", _FROM_MEMORY, target), Bar("S14", _OUTBOX, 2.5)]
    )


async def _make_stream(url: str) -> None:
    async with NatsBroker(url) as broker:
        # A subscriber's stream is declared when the broker starts.
        broker.subscriber(_SUBJECT, stream=JStream("orders", subjects=["order.>"]))
        await broker.start()


async def _make_queue(url: str) -> RabbitExchange:
    exchange = RabbitExchange("orders", type=ExchangeType.TOPIC, durable=True)
    async with RabbitBroker(url) as broker:
        await broker.declare_exchange(exchange)
        queue = await broker.declare_queue(RabbitQueue("orders", durable=True))
        await queue.bind("orders", routing_key="#")
    return exchange


def _fill(url: URL, number: int) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        MessageStore(connection).load(
            (f"order-{n % _STREAMS}", Message(TYPE, DATA, METADATA)) for n in range(number)
        )
    engine.dispose()


def _relay(url: URL, target: Callable[[], Any], number: int) -> Side:
    names = count()

    async def run() -> float:
        engine = create_async_engine(url)
        relay = Relay(f"relay-{next(names)}", "order", to=target(), max_in_flight=_IN_FLIGHT)
        begin = perf_counter()
        await relay.catch_up_async(async_sessionmaker(engine))
        seconds = perf_counter() - begin
        await engine.dispose()
        return number / seconds

    return lambda: asyncio.run(run())


def _from_memory(
    connect: Callable[[], Any], publisher: Callable[[Any], Publish], number: int
) -> Side:
    """Publish as many at a time, each as soon as another is confirmed."""

    async def run() -> float:
        async with connect() as broker:
            publish = publisher(broker)
            ids = iter([str(uuid4()) for _ in range(number)])

            async def work() -> None:
                for id_ in ids:
                    await publish(id_)

            begin = perf_counter()
            async with asyncio.TaskGroup() as tasks:
                for _ in range(_IN_FLIGHT):
                    tasks.create_task(work())
            return number / (perf_counter() - begin)

    return lambda: asyncio.run(run())


def _outbox(
    url: URL, connect: Callable[[], Any], publisher: Callable[[Any], Publish], number: int
) -> Side:
    """Relay as many rows of an outbox table, which are gone afterwards."""
    metadata = MetaData()
    table = make_outbox_table(metadata)
    engine = create_engine(url)
    metadata.create_all(engine)
    engine.dispose()

    async def run() -> float:
        async_engine = create_async_engine(
            url.set(drivername="postgresql+asyncpg"), pool_size=_WORKERS + 2
        )
        outbox = OutboxBroker(async_engine, outbox_table=table, logger=None)
        async with async_sessionmaker(async_engine).begin() as session:
            for _ in range(0, number, 1000):
                await outbox.publish_batch(*([DATA] * 1000), queue="orders", session=session)
        done = asyncio.Event()
        left = number
        async with connect() as broker:
            publish = publisher(broker)

            # Only `make bench` installs it, and `make check` may run before.
            @outbox.subscriber(  # type: ignore[untyped-decorator, unused-ignore]
                "orders",
                max_workers=_WORKERS,
                fetch_batch_size=_WORKERS * 5,
                min_fetch_interval=0.01,
                terminal_flush_batch_size=_FLUSH,
            )
            async def relay(body: dict[str, Any]) -> None:
                nonlocal left
                await publish(str(uuid4()))
                left -= 1
                if left == 0:
                    done.set()

            begin = perf_counter()
            await outbox.start()
            await done.wait()
            seconds = perf_counter() - begin
            await outbox.stop()
        await async_engine.dispose()
        return number / seconds

    return lambda: asyncio.run(run())
