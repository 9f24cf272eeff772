"""Messages that a broker does not take, for their own sake."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from redis.asyncio import Redis

from mdb_sqla import HandlerFailed, Message, MessageStore, RetryPolicy
from mdb_sqla.consumers.dead_letter_queue import replay
from mdb_sqla.relay import Relay
from tests.brokers.fixtures import running
from tests.brokers.rabbitmq_server import RabbitmqServer
from tests.relay.conftest import POLL, until
from tests.relay.receiving import FromRabbitMQ

FAST = RetryPolicy(max_attempts=2, initial_interval=0.001, max_interval=0.001)

REFUSED: list[Any] = [
    pytest.param("nats", Message("with space", 0), "invalid subject", id="nats-subject"),
    pytest.param("nats", Message("T..a", 0), "not a valid NATS subject", id="nats-empty-token"),
    pytest.param("nats", Message("a.*", 0), "not a valid NATS subject", id="nats-wildcard"),
    pytest.param("nats", Message("T", "x" * 1_100_000), "max_payload of NATS", id="nats-size"),
    pytest.param(
        "nats", Message("T", 0, {"note": "x" * 1_100_000}), "max_payload of NATS", id="nats-headers"
    ),
    pytest.param("rabbitmq", Message("Other", 0), "no queue is bound", id="rabbitmq-unroutable"),
    pytest.param("rabbitmq", Message("T" * 250, 0), "exceeds", id="rabbitmq-key"),
    pytest.param(
        "rabbitmq", Message("T", 0, {"note": "x" * 200_000}), "metadata", id="rabbitmq-headers"
    ),
    pytest.param("kafka", Message("T", "x" * 1_100_000), "1100", id="kafka-size"),
    pytest.param("confluent", Message("T", "x" * 1_100_000), "too large", id="confluent-size"),
    pytest.param("redis", Message("T", 0, {"note": "x" * 70_000}), "metadata", id="redis-headers"),
]


@pytest.mark.parametrize(("receiving", "message", "why"), REFUSED, indirect=["receiving"])
def test_it_is_set_aside(shop: Any, receiving: Any, message: Message, why: str) -> None:
    shop.write(1, 1)
    shop.write(2, message, "waits for it")
    shop.write(3, 3)
    relay = shop.relay(receiving, retry_policy=FAST, on_failure="dead_letter")
    shop.run(relay.catch_up_async(shop.factory))

    found = shop.run(receiving.received())
    assert sorted(json.loads(told.body) for told in found) == [1, 3]
    failed, waiting = shop.dead_letters()
    assert failed.global_position == 2
    assert "BrokerRejected" in failed.error
    assert why in failed.error
    assert waiting.error is None
    assert shop.position() == 4


@pytest.mark.parametrize(
    ("receiving", "message"), [each.values[:2] for each in REFUSED], indirect=["receiving"]
)
def test_it_stops_a_relay_that_sets_nothing_aside(
    shop: Any, receiving: Any, message: Message
) -> None:
    shop.write(1, 1)
    shop.write(2, message)
    relay = shop.relay(receiving, retry_policy=FAST)

    with pytest.raises(HandlerFailed, match="could not handle message 2 ") as error:
        shop.run(relay.catch_up_async(shop.factory))
    assert type(error.value.__cause__).__name__ == "BrokerRejected"
    # What was published beside it is not published again and again.
    assert len(shop.run(receiving.received())) == 1


def test_a_function_of_the_users_that_fails(shop: Any, receiving: Any) -> None:
    def nowhere(message: Any) -> str:
        if message.data == 2:
            raise LookupError("nowhere to go")
        return str(receiving.place)

    for number in (1, 2, 3):
        shop.write(number, number)
    relay = shop.relay(
        receiving, target={receiving.option: nowhere}, retry_policy=FAST, on_failure="dead_letter"
    )
    shop.run(relay.catch_up_async(shop.factory))

    found = shop.run(receiving.received())
    assert {json.loads(told.body) for told in found} == {1, 3}
    (failed,) = shop.dead_letters()
    assert failed.error == "LookupError: nowhere to go"


def test_it_is_published_when_it_is_replayed(shop: Any, rabbitmq: Any) -> None:
    shop.write(1, Message("Other", 1), 2)
    relay = shop.relay(rabbitmq, retry_policy=FAST, on_failure="dead_letter")
    shop.run(relay.catch_up_async(shop.factory))
    assert len(shop.dead_letters()) == 2

    target = {"routing_key": lambda _: rabbitmq.place}
    relay = shop.relay(rabbitmq, target=target, retry_policy=FAST, on_failure="dead_letter")
    with shop.engine.begin() as connection:
        replay(connection, "relay")
    shop.run(relay.catch_up_async(shop.factory))

    assert [json.loads(told.body) for told in shop.run(rabbitmq.received())] == [1, 2]
    assert shop.dead_letters() == []


def test_larger_than_rabbitmq_says(shop: Any, rabbitmq: Any) -> None:
    shop.write(1, 1)
    shop.write(2, "x" * 2000)
    relay = shop.relay(
        rabbitmq, target={"max_message_size": 1000}, retry_policy=FAST, on_failure="dead_letter"
    )
    shop.run(relay.catch_up_async(shop.factory))

    (failed,) = shop.dead_letters()
    assert "2,002 bytes, more than max_message_size, 1,000" in (failed.error or "")


@pytest.fixture
def strict_rabbitmq(shop: Any) -> Iterator[FromRabbitMQ]:
    """RabbitMQ that takes less than the relay has been told."""
    with running(RabbitmqServer) as server:
        server.kill()
        file = server.folder / "rabbitmq.conf"
        file.write_text(f"{file.read_text()}\nmax_message_size = 5000\n")
        receiving = FromRabbitMQ(server.start(), shop.category)
        shop.run(receiving.prepare())
        yield receiving


def test_larger_than_rabbitmq_takes(shop: Any, strict_rabbitmq: Any) -> None:
    """It ends the channel; nothing else is refused for that."""
    for number in range(20):
        shop.write(number, number)
    shop.write("large", "x" * 6000)
    shop.run(
        shop.relay(strict_rabbitmq, retry_policy=FAST, on_failure="dead_letter").catch_up_async(
            shop.factory
        )
    )

    (failed,) = shop.dead_letters()
    assert "6,002 bytes, more than max_message_size, 5,000" in (failed.error or "")
    found = shop.run(strict_rabbitmq.received())
    assert {json.loads(told.body) for told in found} == set(range(20))


@pytest.mark.parametrize("receiving", ["kafka", "confluent"], indirect=True)
@pytest.mark.parametrize("topic", ["with space", "..", "x" * 250])
def test_no_topic(shop: Any, receiving: Any, topic: str) -> None:
    shop.write(1, 1)
    relay = shop.relay(
        receiving, target={"topic": lambda _: topic}, retry_policy=FAST, on_failure="dead_letter"
    )
    shop.run(relay.catch_up_async(shop.factory))

    (failed,) = shop.dead_letters()
    assert "is not a valid Kafka topic name" in failed.error


def test_a_key_that_is_no_stream_in_redis(shop: Any, redis: Any) -> None:
    shop.write(1, 1)
    shop.run(_set(redis.server.url, shop.category))
    shop.run(
        shop.relay(redis, retry_policy=FAST, on_failure="dead_letter").catch_up_async(shop.factory)
    )

    (failed,) = shop.dead_letters()
    assert f"the Redis key '{shop.category}' is not a stream" in failed.error


async def _set(url: str, key: str) -> None:
    async with Redis.from_url(url) as client:
        await client.set(key, "a string")


def test_another_stream_of_jetstream(shop: Any, nats: Any) -> None:
    """The subject is kept by a stream, but not by the relay's."""
    shop.write(1, 1)
    category, shop.category = shop.category, f"{shop.category}_other"
    other = type(nats)(nats.server, shop.category)
    shop.run(other.prepare())
    shop.write(1, 2)
    relay = Relay(
        "relay",
        category,
        shop.category,
        to=nats.target(stream=category),
        retry_policy=FAST,
        on_failure="dead_letter",
        poll_interval=POLL,
    )
    shop.run(relay.catch_up_async(shop.factory))

    (failed,) = shop.dead_letters()
    assert failed.stream_name == f"{shop.category}-1"
    assert "BrokerRejected" in failed.error
    assert len(shop.run(nats.received())) == 1
    assert shop.run(other.received()) == []


def test_a_message_that_would_be_a_command(shop: Any, nats: Any) -> None:
    """A relay of all categories does not do what somebody has written as a message."""
    shop.write(1, 1)
    with shop.engine.begin() as connection:
        command = Message(f"API.STREAM.DELETE.{shop.category}", {})
        MessageStore(connection).write("$JS-1", command)
    relay = Relay(
        "relay", to=nats.target(), retry_policy=FAST, on_failure="dead_letter", poll_interval=POLL
    )
    shop.run(relay.catch_up_async(shop.factory))

    (failed,) = shop.dead_letters()
    assert "is a command" in failed.error
    assert len(shop.run(nats.received())) == 1


def test_a_subject_that_no_stream_keeps(shop: Any, nats: Any) -> None:
    shop.write(1, 1)
    target = {"subject": lambda message: f"{shop.category}_nowhere.T"}
    relay = shop.relay(nats, target=target, retry_policy=FAST, on_failure="dead_letter")
    shop.run(relay.catch_up_async(shop.factory))

    (failed,) = shop.dead_letters()
    assert "no stream has the subject" in failed.error


def test_a_stream_that_is_missing_is_waited_for(
    shop: Any, nats: Any, caplog: pytest.LogCaptureFixture
) -> None:
    shop.write(1, 1)
    missing = f"{shop.category}_missing"
    target = {"stream": missing, "subject": lambda _: f"{missing}.T"}
    relay = shop.relay(nats, target=target, retry_policy=FAST, on_failure="dead_letter")
    later = type(nats)(nats.server, missing)

    async def scenario() -> None:
        async with shop.running(relay):
            await until(lambda: "is blocked" in caplog.text)
            assert shop.position() == 0
            await later.prepare()
            await until(lambda: shop.position() == 1)

    shop.run(scenario())
    assert shop.dead_letters() == []
    assert len(shop.run(later.received())) == 1
