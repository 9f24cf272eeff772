"""An application that writes, relays that publish it, and a look at what has arrived."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import URL, NullPool, create_engine, select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from mdb_sqla import Message, MessageStore, tables
from mdb_sqla.consumers.dead_letter_queue import DeadLetter, dead_letters
from mdb_sqla.relay import Relay
from tests.relay.receiving import (
    FromConfluent,
    FromIdempotentConfluent,
    FromIdempotentKafka,
    FromKafka,
    FromNats,
    FromRabbitMQ,
    FromRedis,
    Receiving,
)
from tests.relay.relays import Relays
from tests.waiting import PATIENCE

T = TypeVar("T")
POLL = (0.005, 0.05)


class Shop:
    """What is written, and how far relays are."""

    def __init__(self, database: URL, runner: asyncio.Runner, category: str) -> None:
        self.database = database
        self.category = category
        self.engine = create_engine(database, poolclass=NullPool)
        self.async_engine = create_async_engine(database)
        self.factory = async_sessionmaker(self.async_engine)
        self._runner = runner

    def run(self, awaited: Awaitable[T]) -> T:
        """Await something; what waits for an outage that is none fails, instead of hanging."""

        async def in_time() -> T:
            async with asyncio.timeout(12 * PATIENCE):
                return await awaited

        return self._runner.run(in_time())

    def write(self, id_: object, *messages: Message | Any) -> None:
        """Write to the stream of the category with this id; anything but a message is data."""
        written = [m if isinstance(m, Message) else Message("T", m) for m in messages]
        with self.engine.begin() as connection:
            MessageStore(connection).write(f"{self.category}-{id_}", written)

    def relay(self, receiving: Receiving, name: str = "relay", **options: Any) -> Relay:
        of_target = options.pop("target", {})
        return Relay(
            name,
            self.category,
            to=receiving.target(**of_target),
            **{"poll_interval": POLL, **options},
        )

    @asynccontextmanager
    async def running(self, relay: Relay) -> AsyncIterator[None]:
        """A relay that runs until the block is left."""
        task = asyncio.create_task(relay.run_async(self.factory))
        try:
            await until(lambda: relay.state == "running" or task.done())
            yield
        finally:
            relay.stop()
            await task

    def position(self, name: str = "relay") -> int | None:
        slots = tables.consumer_slots.c
        with self.engine.connect() as connection:
            return connection.scalar(select(slots.position).where(slots.consumer == name))

    def dead_letters(self) -> list[DeadLetter]:
        with self.engine.connect() as connection:
            return dead_letters(connection)


async def until(condition: Callable[[], object], patience: float = 4 * PATIENCE) -> None:
    """Wait for what nobody tells of; it fails after so many seconds."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)  # between two looks


@pytest.fixture
def shop(database: URL, runner: asyncio.Runner, name: str) -> Iterator[Shop]:
    shop = Shop(database, runner, name)
    yield shop
    runner.run(shop.async_engine.dispose())
    shop.engine.dispose()


RECEIVING: dict[str, tuple[Any, str]] = {
    "nats": (FromNats, "nats_server"),
    "rabbitmq": (FromRabbitMQ, "rabbitmq_server"),
    "redis": (FromRedis, "redis_server"),
    "kafka": (FromKafka, "kafka_server"),
    "confluent": (FromConfluent, "kafka_server"),
    "idempotent_kafka": (FromIdempotentKafka, "kafka_cluster"),
    "idempotent_confluent": (FromIdempotentConfluent, "kafka_cluster"),
}
IDEMPOTENT = ["idempotent_kafka", "idempotent_confluent"]
"""Their server can't be killed and started again; tests of their own pause it."""


@pytest.fixture(params=[each for each in RECEIVING if each not in IDEMPOTENT])
def receiving(request: pytest.FixtureRequest, shop: Shop) -> Receiving:
    """Each broker in turn, ready for what is published for the shop's category."""
    return prepared(request.param, request, shop)


@pytest.fixture
def nats(request: pytest.FixtureRequest, shop: Shop) -> Receiving:
    return prepared("nats", request, shop)


@pytest.fixture
def rabbitmq(request: pytest.FixtureRequest, shop: Shop) -> Receiving:
    return prepared("rabbitmq", request, shop)


@pytest.fixture
def redis(request: pytest.FixtureRequest, shop: Shop) -> Receiving:
    return prepared("redis", request, shop)


def prepared(broker: str, request: pytest.FixtureRequest, shop: Shop) -> Receiving:
    kind, server = RECEIVING[broker]
    receiving: Receiving = kind(request.getfixturevalue(server), shop.category)
    shop.run(receiving.prepare())
    return receiving


@pytest.fixture
def waits(caplog: pytest.LogCaptureFixture) -> Any:
    """Tell how often the relay has begun to wait."""
    caplog.set_level(logging.WARNING, "mdb_sqla.consumer")
    return lambda: [
        told
        for record in caplog.records
        # Only of this one: a client's may have what can't be shown any more.
        if record.name == "mdb_sqla.consumer" and "is blocked" in (told := record.getMessage())
    ]


@pytest.fixture
def relays(tmp_path: Path, shop: Any, receiving: Any) -> Iterator[Relays]:
    relays = Relays(tmp_path, shop, receiving)
    yield relays
    for process in relays.processes:
        process.kill()
        process.wait()
