"""The mapping: what a message is turned into, whatever the broker."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from urllib.parse import unquote
from uuid import UUID

import orjson
import pytest
from faststream.confluent import KafkaBroker as ConfluentBroker
from faststream.kafka import KafkaBroker
from faststream.nats import NatsBroker
from faststream.rabbit import RabbitBroker
from faststream.redis import RedisBroker
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql

from mdb_sqla import BrokerRejected, InvalidArgument, RetryPolicy, StoredMessage
from mdb_sqla.column_types import json_serializer
from mdb_sqla.relay import CloudEvents, Relay
from mdb_sqla.relay.broker_target import Destination, dotted
from mdb_sqla.relay.confluent import ConfluentKafka
from mdb_sqla.relay.envelope import Envelope, enveloped
from mdb_sqla.relay.kafka import Kafka
from mdb_sqla.relay.nats import JetStream
from mdb_sqla.relay.publisher import Publisher
from mdb_sqla.relay.rabbitmq import RabbitMQ
from mdb_sqla.relay.redis import RedisStreams
from mdb_sqla.relay.topic import category_topic, check_topic

ID = UUID("018f0000-0000-7000-8000-000000000001")
TIME = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


def stored(stream_name: str = "order-7+a", type_: str = "T", **values: Any) -> StoredMessage:
    message = StoredMessage(ID, stream_name, type_, 3, 41, {"total": 120}, {}, TIME)
    return message._replace(**values)


def envelope(message: StoredMessage, cloud_events: CloudEvents | None = None) -> Envelope:
    return enveloped(message, json.dumps, cloud_events)


@pytest.mark.parametrize(
    ("stream_name", "key"),
    [
        ("order-7", "7"),
        ("order-7+a", "7"),
        ("order-7-8", "7-8"),
        ("order", "order"),
        ("order-", ""),
        ("-7", "7"),
    ],
)
def test_the_key_is_what_groups_share_by(stream_name: str, key: str) -> None:
    assert envelope(stored(stream_name)).key == key


def test_headers_of_a_plain_message() -> None:
    assert envelope(stored()).headers == {
        "message_id": str(ID),
        "message_type": "T",
        "stream_name": "order-7+a",
        "position": "3",
        "global_position": "41",
        "time": "2026-01-02T03:04:05.000006+00:00",
    }
    assert envelope(stored()).attributes == {}


@given(st.text(min_size=1), st.text(min_size=1))
def test_headers_are_printable_ascii_and_can_be_undone(type_: str, id_: str) -> None:
    surrogates = any(0xD800 <= ord(each) <= 0xDFFF for each in type_ + id_)
    if surrogates or "\0" in type_ + id_:
        return
    headers = envelope(
        stored(f"order-{id_}", type_, metadata={"note": type_, "tracestate": id_})
    ).headers

    assert all(" " <= each <= "~" for value in headers.values() for each in value)
    assert unquote(headers["message_type"]) == type_
    assert unquote(headers["stream_name"]) == f"order-{id_}"
    assert headers["stream_name"].strip() == headers["stream_name"]
    assert json.loads(headers["metadata"])["note"] == type_


@pytest.mark.parametrize("metadata", [[1], "text", 7, True])
def test_metadata_of_other_clients_may_be_anything(metadata: Any) -> None:
    assert "metadata" not in envelope(stored(metadata=metadata)).headers


def test_trace_context_from_the_properties() -> None:
    metadata = {"tracestate": "old", "properties": {"tracestate": "p", "baggage": "b", "x": "y"}}
    headers = envelope(stored(metadata=metadata)).headers
    assert headers["tracestate"] == "p"
    assert headers["baggage"] == "b"
    assert "x" not in headers
    assert "traceparent" not in envelope(stored(metadata={"traceparent": 7})).headers


def test_baggage_is_not_encoded_twice() -> None:
    metadata = {"baggage": "user=Am%C3%A9lie", "tracestate": "a=é "}
    headers = envelope(stored(metadata=metadata)).headers
    assert headers["baggage"] == "user=Am%C3%A9lie"
    assert headers["tracestate"] == "a=%C3%A9"


def test_attributes_of_cloud_events() -> None:
    assert envelope(stored(), CloudEvents("/shop", "com.example.")).attributes == {
        "specversion": "1.0",
        "id": str(ID),
        "source": "/shop",
        "type": "com.example.T",
        "subject": "order-7+a",
        "time": "2026-01-02T03:04:05.000006+00:00",
        "partitionkey": "7",
    }
    assert "partitionkey" not in CloudEvents("/shop").attributes(stored("order"))
    with pytest.raises(InvalidArgument, match="source must be a non-empty string"):
        CloudEvents("")


def test_places() -> None:
    assert dotted(stored("order:command-7-8", "Place")) == "order:command.Place"
    assert category_topic(stored("account:command+new-7")) == "account.command-new"
    check_topic("account.command-new", stored())
    for topic in ("", ".", "..", "a b", "ä", "x" * 250):
        with pytest.raises(BrokerRejected, match="is not a valid Kafka topic"):
            check_topic(topic, stored())


class Nowhere:
    name = "nowhere"

    def __init__(self) -> None:
        self.destination: Destination = dotted

    async def connect(self, timeout: float) -> None: ...
    async def publish(self, destination: str, envelope: Envelope, timeout: float) -> None: ...
    async def close(self) -> None: ...


def test_arguments_of_a_relay() -> None:
    relay = Relay("a", to=Nowhere(), types=["T"], retry_policy=RetryPolicy(max_attempts=1))
    assert relay.handlers.names == {"T": "nowhere"}
    with pytest.raises(InvalidArgument, match="timeout must be a positive number"):
        Relay("a", to=Nowhere(), timeout=0)
    with pytest.raises(InvalidArgument, match="at least 1"):
        Relay("a", to=Nowhere(), max_in_flight=0)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"to": "nats://localhost"}, "to must be a target, .* got str"),
        ({"to": NatsBroker()}, "to must be a target, .* got .*NatsBroker"),
        ({"types": "Placed"}, r"types must be a tuple or a list, got 'Placed' \(str\)"),
        ({"types": [4]}, r"4 \(int\)"),
        ({"cloud_events": "/shop"}, r"CloudEvents, got '/shop' \(str\)"),
        ({"timeout": "10"}, r"'10' \(str\)"),
        ({"retry_policy": 3}, r"RetryPolicy, got 3 \(int\)"),
        ({"group": 4}, r"Group, got 4 \(int\)"),
    ],
)
def test_arguments_of_a_relay_of_another_type(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidArgument, match=named):
        Relay("a", **{"to": Nowhere(), **arguments})


def test_arguments_of_targets_of_another_type() -> None:
    nats, rabbit, redis = NatsBroker(), RabbitBroker(), RedisBroker()
    secret: Any = RabbitBroker("amqp://guest:secret@localhost")
    number: Any = 4
    calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], str]] = [
        (
            JetStream,
            (secret,),
            {"stream": "S"},
            "must be an instance of .*NatsBroker, got .*RabbitBroker$",
        ),
        (JetStream, (nats,), {"stream": number}, r"stream must be a non-empty string .* 4 \(int\)"),
        (JetStream, (nats,), {"stream": "S", "subject": "s"}, r"takes a message, got 's' \(str\)"),
        (RabbitMQ, (nats,), {}, "must be an instance of .*RabbitBroker, got .*NatsBroker$"),
        (RabbitMQ, (rabbit,), {"exchange": number}, r"4 \(int\)"),
        (RabbitMQ, (rabbit,), {"routing_key": "k"}, r"takes a message, got 'k' \(str\)"),
        (RabbitMQ, (rabbit,), {"max_message_size": "1"}, r"'1' \(str\)"),
        (RedisStreams, (nats,), {}, "must be an instance of .*RedisBroker, got .*NatsBroker$"),
        (RedisStreams, (redis,), {"stream": "s"}, r"takes a message, got 's' \(str\)"),
        (RedisStreams, (redis,), {"maxlen": 0}, r"0 \(int\)"),
        (Kafka, (ConfluentBroker("localhost"),), {}, r"faststream\.kafka\..*, got .*\.confluent\."),
        (Kafka, (KafkaBroker("localhost", acks="all"),), {"topic": "t"}, r"'t' \(str\)"),
        (ConfluentKafka, (KafkaBroker("localhost"),), {}, r"\.confluent\..*, got .*\.kafka\."),
        (ConfluentKafka, (ConfluentBroker("localhost"),), {"topic": "t"}, r"'t' \(str\)"),
    ]
    for target, arguments, options, named in calls:
        with pytest.raises(InvalidArgument, match=named):
            target(*arguments, **options)


class Name(str, Enum):  # noqa: UP042
    """Not a `StrEnum`: f-strings have `Name.SOURCE`."""

    SOURCE = "/shop"
    PREFIX = "com.example."
    PLACE = "orders"


def test_a_string_that_is_also_an_enum_is_its_value() -> None:
    attributes = CloudEvents(Name.SOURCE, Name.PREFIX).attributes(stored("order-7"))
    assert (f"{attributes['source']}", attributes["type"]) == ("/shop", "com.example.T")
    assert JetStream(NatsBroker(), stream=Name.PLACE).name == "JetStream orders"
    assert RabbitMQ(RabbitBroker(), exchange=Name.PLACE).name == "RabbitMQ orders"


def test_a_destination_that_is_also_an_enum_is_its_value() -> None:
    places = []

    class Somewhere(Nowhere):
        async def publish(self, destination: str, envelope: Envelope, timeout: float) -> None:
            places.append(f"{destination}")

    target = Somewhere()
    target.destination = lambda _: Name.PLACE
    asyncio.run(Publisher(target, None, 1)(stored()))

    assert places == ["orders"]


def test_a_serializer_that_returns_bytes() -> None:
    dialect: Any = postgresql.dialect
    serialize = json_serializer(dialect(json_serializer=orjson.dumps))

    assert enveloped(stored(), serialize, None).body == orjson.dumps(stored().data)


def test_a_producer_of_kafka_that_may_lose_messages() -> None:
    for acks in (0, 1):
        with pytest.raises(InvalidArgument, match="Messages could be lost"):
            Kafka(KafkaBroker("localhost", acks=acks))
        with pytest.raises(InvalidArgument, match="Messages could be lost"):
            ConfluentKafka(ConfluentBroker("localhost", acks=acks))
    with pytest.raises(InvalidArgument, match="Messages could be lost"):
        Kafka(KafkaBroker("localhost"))
    with pytest.raises(
        InvalidArgument, match="does not support Kafka transactions: remove transactional_id t"
    ):
        Kafka(KafkaBroker("localhost", enable_idempotence=True, transactional_id="t"))
    Kafka(KafkaBroker("localhost", enable_idempotence=True))
    Kafka(KafkaBroker("localhost", acks="all"))
    ConfluentKafka(ConfluentBroker("localhost"))
