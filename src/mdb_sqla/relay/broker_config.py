"""The broker tables of a relay configuration file."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from mdb_sqla.errors import InvalidArgument
from mdb_sqla.relay.broker_target import Target
from mdb_sqla.relay.config_values import (
    Function,
    NatsUrl,
    RabbitUrl,
    RedisUrl,
    Servers,
    Setting,
    Text,
)

__all__ = [
    "ConfluentTable",
    "KafkaTable",
    "NatsTable",
    "RabbitTable",
    "RedisTable",
    "Table",
]


class Table(BaseModel):
    """A table of the file. Unknown keys and values of the wrong type are rejected."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    def given(self, *names: str) -> dict[str, Any]:
        """Return the values of these keys, as far as the file sets them."""
        return {name: getattr(self, name) for name in names if name in self.model_fields_set}


class NatsTable(Table):
    """A stream of NATS JetStream."""

    url: NatsUrl | Annotated[list[NatsUrl], Field(min_length=1)]
    stream: Text
    subject: Function = None

    def target(self) -> Target:
        """Return the target that a relay publishes to."""
        from faststream.nats import NatsBroker

        from mdb_sqla.relay.nats import JetStream

        return JetStream(NatsBroker(self.url), stream=self.stream, **self.given("subject"))


class RabbitTable(Table):
    """A RabbitMQ exchange."""

    url: RabbitUrl
    exchange: Text | None = None
    routing_key: Function = None
    max_message_size: PositiveInt = 0

    def target(self) -> Target:
        """Return the target that a relay publishes to."""
        from faststream.rabbit import RabbitBroker

        from mdb_sqla.relay.rabbitmq import RabbitMQ

        given = self.given("exchange", "routing_key", "max_message_size")
        return RabbitMQ(RabbitBroker(self.url), **given)


class RedisTable(Table):
    """Redis streams."""

    url: RedisUrl
    stream: Function = None
    maxlen: PositiveInt | None = None

    def target(self) -> Target:
        """Return the target that a relay publishes to."""
        from faststream.redis import RedisBroker
        from redis.asyncio import ConnectionPool

        from mdb_sqla.relay.redis import RedisStreams

        try:
            # Raises for unknown options. redis-py does not type it.
            ConnectionPool.from_url(self.url).make_connection()  # type: ignore[no-untyped-call]
        except TypeError as error:
            raise InvalidArgument(f"Redis: {error}") from error
        return RedisStreams(RedisBroker(self.url), **self.given("stream", "maxlen"))


class KafkaTable(Table):
    """Kafka topics, with aiokafka."""

    bootstrap_servers: Servers
    topic: Function = None
    idempotent: bool = True

    def target(self) -> Target:
        """Return the target that a relay publishes to."""
        from faststream.kafka import KafkaBroker

        from mdb_sqla.relay.kafka import Kafka

        broker = KafkaBroker(self.bootstrap_servers, acks="all", enable_idempotence=self.idempotent)
        return Kafka(broker, **self.given("topic"))


class ConfluentTable(Table):
    """Kafka topics, with librdkafka and its settings."""

    bootstrap_servers: Servers
    topic: Function = None
    idempotent: bool = True
    config: dict[str, Setting] = {}

    def target(self) -> Target:
        """Return the target that a relay publishes to."""
        from faststream.confluent import KafkaBroker

        from mdb_sqla.relay.confluent import ConfluentKafka

        settings: Any = dict(self.config)
        # FastStream requires lower case, contrary to the convention.
        if isinstance(protocol := settings.get("security.protocol"), str):
            settings["security.protocol"] = protocol.lower()
        broker = KafkaBroker(
            self.bootstrap_servers,
            enable_idempotence=self.idempotent,
            allow_auto_create_topics=False,
            config=settings,
        )
        return ConfluentKafka(broker, **self.given("topic"))
