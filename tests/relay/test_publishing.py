"""What arrives at each broker, and in which order."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from typing import Any
from urllib.parse import unquote

import pytest
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from mdb_sqla import Group, Message, MessageStore
from mdb_sqla.relay import CloudEvents, Relay
from mdb_sqla.testing import catch_up_async
from tests.relay.conftest import POLL

TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}


def test_a_message_arrives_with_all_that_is_known_of_it(shop: Any, receiving: Any) -> None:
    metadata = {"correlationStreamName": "fleet-1", "note": "ünïcode\n", **TRACE}
    message = Message("T", {"total": 120, "name": "Zoë"}, metadata)
    shop.write("7+a", message)
    shop.run(shop.relay(receiving).catch_up_async(shop.factory))

    (told,) = shop.run(receiving.received())
    assert json.loads(told.body) == {"total": 120, "name": "Zoë"}
    assert told.where == receiving.place
    headers = told.headers
    assert headers["message_id"] == headers["correlation_id"] == str(message.id)
    assert headers["message_type"] == "T"
    assert headers["content-type"] == "application/json"
    assert told.place == (f"{shop.category}-7+a", 0)
    assert headers["global_position"] == "1"
    assert headers["time"].endswith("+00:00")
    assert json.loads(headers["metadata"]) == metadata
    assert headers["traceparent"] == TRACE["traceparent"]
    assert not [name for name in headers if name.lower().startswith(("ce-", "ce_", "cloudev"))]
    assert shop.position() == 1


def test_names_with_spaces_around_them(shop: Any, receiving: Any) -> None:
    shop.write(" 7 ", "one")
    shop.run(shop.relay(receiving).catch_up_async(shop.factory))

    (told,) = shop.run(receiving.received())
    assert unquote(told.headers["stream_name"]) == f"{shop.category}- 7 "


def test_each_stream_arrives_in_order(shop: Any, receiving: Any) -> None:
    for number in range(60):
        shop.write(number % 7, number, number + 1000)
    shop.run(shop.relay(receiving, max_in_flight=25).catch_up_async(shop.factory))

    by_stream: dict[str, list[int]] = defaultdict(list)
    for told in shop.run(receiving.received()):
        stream_name, position = told.place
        by_stream[stream_name].append(position)
    assert len(by_stream) == 7
    assert sum(map(len, by_stream.values())) == 120
    assert all(positions == list(range(len(positions))) for positions in by_stream.values())


def test_many_in_flight_at_once(
    shop: Any, receiving: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with shop.engine.begin() as connection:
        MessageStore(connection).load((f"{shop.category}-{n}", Message("T", n)) for n in range(300))
    shop.run(shop.relay(receiving, max_in_flight=300).catch_up_async(shop.factory))

    # No connections are wanting, and nothing else that would be taken for an outage.
    assert "is blocked" not in caplog.text
    found = shop.run(receiving.received())
    assert sorted(json.loads(told.body) for told in found) == list(range(300))


def test_in_one_loop_after_another(
    shop: Any, receiving: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """As where somebody calls `asyncio.run` for each catching up."""
    relay = shop.relay(receiving)

    async def catch_up() -> None:
        engine = create_async_engine(shop.database)
        async with asyncio.timeout(20):
            await relay.catch_up_async(async_sessionmaker(engine))
        await engine.dispose()

    for _ in range(2):
        for number in range(60):
            shop.write(number, number)
        asyncio.run(catch_up())

    assert "is blocked" not in caplog.text
    assert len(shop.run(receiving.received())) == 120


def test_what_was_published_is_not_published_again(shop: Any, receiving: Any) -> None:
    for _ in range(2):
        shop.write(1, "one")
        shop.run(shop.relay(receiving).catch_up_async(shop.factory))

    assert [told.place[1] for told in shop.run(receiving.received())] == [0, 1]


def test_a_group_shares_the_work(shop: Any, receiving: Any) -> None:
    for number in range(40):
        shop.write(number, number)
    relay = shop.relay(receiving, group=Group(slots=4))
    shop.run(relay.catch_up_async(shop.factory))

    found = shop.run(receiving.received())
    assert sorted(json.loads(told.body) for told in found) == list(range(40))


def test_only_some_types(shop: Any, receiving: Any) -> None:
    shop.write(1, Message("T", 1), Message("Other", 2), Message("T", 3))
    shop.run(shop.relay(receiving, types=["T"]).catch_up_async(shop.factory))

    assert [json.loads(told.body) for told in shop.run(receiving.received())] == [1, 3]


def test_cloud_events(shop: Any, receiving: Any) -> None:
    message = Message("T", {"total": 120})
    shop.write("Zoë", message)
    relay = shop.relay(receiving, cloud_events=CloudEvents("/shop", type_prefix="com.example."))
    shop.run(relay.catch_up_async(shop.factory))

    (told,) = shop.run(receiving.received())
    headers = {name.lower(): value for name, value in told.headers.items()}
    prefix = next(
        each for each in ("ce-", "ce_", "cloudevents:") if f"{each}specversion" in headers
    )
    encoded = "Zo%C3%AB" if prefix == "ce-" else "Zoë"
    attributes = {
        "specversion": "1.0",
        "id": str(message.id),
        "source": "/shop",
        "type": "com.example.T",
        "subject": f"{shop.category}-{encoded}",
        "time": headers["time"],
        "partitionkey": encoded,
    }
    for attribute, value in attributes.items():
        assert headers[f"{prefix}{attribute}"] == value
    # NATS says of it what HTTP does not: the attribute has a header of its own.
    expected = "application/json" if receiving.option == "subject" else None
    assert headers.get("ce-datacontenttype") == expected


@pytest.mark.parametrize("receiving", ["nats"], indirect=True)
def test_another_subject(shop: Any, receiving: Any) -> None:
    place = f"{shop.category}.all"
    shop.write(1, "one")
    shop.run(
        shop.relay(receiving, target={"subject": lambda _: place}).catch_up_async(shop.factory)
    )

    (told,) = shop.run(receiving.received())
    assert told.where == place


@pytest.mark.parametrize("receiving", ["redis", "kafka", "confluent"], indirect=True)
def test_one_place_for_several_categories(shop: Any, receiving: Any) -> None:
    shop.write(1, "one")
    category, shop.category = shop.category, "other"
    shop.write(1, "two")
    relay = Relay(
        "relay", to=receiving.target(**{receiving.option: lambda _: category}), poll_interval=POLL
    )
    shop.run(relay.catch_up_async(shop.factory))

    found = shop.run(receiving.received())
    assert {told.place for told in found} == {(f"{category}-1", 0), ("other-1", 0)}


@pytest.mark.parametrize("receiving", ["kafka", "confluent"], indirect=True)
def test_the_key_is_the_cardinal_id(shop: Any, receiving: Any) -> None:
    shop.write("7+a", "one")
    shop.write("7+b", "two")
    shop.run(shop.relay(receiving).catch_up_async(shop.factory))

    found = shop.run(receiving.received())
    assert [told.headers["key"] for told in found] == ["7", "7"]
    assert [json.loads(told.body) for told in found] == ["one", "two"]


def test_a_routing_key_to_an_exchange(shop: Any, rabbitmq: Any) -> None:
    shop.write(1, Message("Anything", "one"))
    target = {"exchange": "amq.direct", "routing_key": lambda _: "key"}
    shop.run(_bind(rabbitmq, "amq.direct", "key"))
    shop.run(shop.relay(rabbitmq, target=target).catch_up_async(shop.factory))

    (told,) = shop.run(rabbitmq.received())
    assert told.where == "key"
    assert told.headers["property message_id"] == told.headers["message_id"]
    assert told.headers["property type"] == "Anything"
    assert told.headers["delivery_mode"] == 2


async def _bind(rabbitmq: Any, exchange: str, key: str) -> None:
    from aio_pika import connect

    async with await connect(rabbitmq.server.url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(rabbitmq.place)
        await queue.bind(exchange, key)


def test_in_tests_of_an_application(shop: Any, nats: Any) -> None:
    shop.write(1, {"total": 120})
    relay = shop.relay(nats)
    shop.run(catch_up_async(shop.factory, relay))

    assert [json.loads(told.body) for told in shop.run(nats.received())] == [{"total": 120}]
