"""What a relay costs for each message, without a broker."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from mdb_sqla import Message, MessageStore
from mdb_sqla.relay import Relay
from mdb_sqla.relay.broker_target import Destination, dotted
from mdb_sqla.relay.envelope import Envelope
from tests.cost.conftest import Counted, function_calls

NUMBER = 1000
IN_FLIGHT = 200

_names = count()


class Nowhere:
    """A target that confirms every message at the next turn of the loop."""

    destination: Destination = staticmethod(dotted)
    name = "nowhere"

    async def connect(self, timeout: float) -> None:
        pass

    async def publish(self, destination: str, envelope: Envelope, timeout: float) -> None:
        await asyncio.sleep(0)

    async def close(self) -> None:
        pass


@pytest.fixture
def filled(engine: Engine) -> Engine:
    with engine.begin() as connection:
        store = MessageStore(connection)
        store.load((f"order-{n}", Message("T", {"number": n})) for n in range(NUMBER))
    return engine


def relay(engine: Engine, start: int = 1) -> list[str]:
    """Relay the messages from a position on, and return the statements."""

    async def run() -> list[str]:
        async_engine = create_async_engine(engine.url)
        counted = Counted(async_engine.sync_engine)
        name = f"relay-{next(_names)}"
        relay = Relay(name, "order", to=Nowhere(), start=start, max_in_flight=IN_FLIGHT)
        await relay.catch_up_async(async_sessionmaker(async_engine))
        await async_engine.dispose()
        return counted.sent

    return asyncio.run(run())


def test_statements(filled: Engine) -> None:
    """A read for each batch, and one saved position for as many messages as are in flight."""
    sent = relay(filled)

    assert sum("get_category_messages" in each for each in sent) == 2  # the second finds nothing
    saves = [n for n, each in enumerate(sent) if "consumer_slots SET position" in each]
    assert saves == [*range(saves[0], saves[0] + 2 * NUMBER // IN_FLIGHT, 2)]
    assert {sent[n + 1] for n in saves} == {"COMMIT"}


def test_function_calls(filled: Engine) -> None:
    """Without those of the start. It was 209 with a generator that caught errors of handlers."""
    half = function_calls(lambda: relay(filled, start=NUMBER // 2 + 1))
    all_ = function_calls(lambda: relay(filled))

    assert all_ - half < 205 * NUMBER // 2
