"""The tables for brokers in the file of `mdb relay`."""

from __future__ import annotations

import importlib
import os
from operator import attrgetter
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
)

from mdb_sqla.relay.target import Target

__all__ = [
    "ConfluentTable",
    "KafkaTable",
    "NatsTable",
    "RabbitTable",
    "RedisTable",
    "Table",
    "Text",
]


def _from_environment(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith("$"):
        return value
    if value[1:] not in os.environ:
        raise ValueError(f"the environment has no variable {value[1:]}")
    return os.environ[value[1:]]


def _split_at_commas(value: Any) -> Any:
    return value.split(",") if isinstance(value, str) else value


def _imported(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    module, _, name = value.partition(":")
    try:
        return attrgetter(name)(importlib.import_module(module))
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ValueError(f"must be MODULE:FUNCTION ({error})") from error


def _callable(value: Any) -> Any:
    if not callable(value):
        raise ValueError("must be a function that takes a message")
    return value


Text = Annotated[str, BeforeValidator(_from_environment), Field(min_length=1)]
"""A string; `$NAME` is taken from the environment, so that secrets need not be in the file."""

Servers = Annotated[
    list[Text], BeforeValidator(_split_at_commas), BeforeValidator(_from_environment)
]
"""Addresses of Kafka's servers, as a list, or with commas as all of its own tools have them."""

Function = Annotated[Any, BeforeValidator(_imported), AfterValidator(_callable)]
"""A function, by `MODULE:FUNCTION`."""


class Table(BaseModel):
    """A table of the file; what it does not know, or of another type, is refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    def given(self, *names: str) -> dict[str, Any]:
        """Return what the file says of these; the rest is as the class has it."""
        return {name: getattr(self, name) for name in names if name in self.model_fields_set}


class NatsTable(Table):
    """A stream of JetStream."""

    url: Text | list[Text]
    stream: Text
    subject: Function = None

    def target(self) -> Target:
        """Return what a relay publishes to."""
        from faststream.nats import NatsBroker

        from mdb_sqla.relay.nats import JetStream

        return JetStream(NatsBroker(self.url), stream=self.stream, **self.given("subject"))


class RabbitTable(Table):
    """An exchange of RabbitMQ."""

    url: Text
    exchange: Text | None = None
    routing_key: Function = None
    max_message_size: PositiveInt = 0

    def target(self) -> Target:
        """Return what a relay publishes to."""
        from faststream.rabbit import RabbitBroker

        from mdb_sqla.relay.rabbitmq import RabbitMQ

        given = self.given("exchange", "routing_key", "max_message_size")
        return RabbitMQ(RabbitBroker(self.url), **given)


class RedisTable(Table):
    """Streams of Redis."""

    url: Text
    stream: Function = None
    maxlen: PositiveInt | None = None

    def target(self) -> Target:
        """Return what a relay publishes to."""
        from faststream.redis import RedisBroker

        from mdb_sqla.relay.redis import RedisStreams

        return RedisStreams(RedisBroker(self.url), **self.given("stream", "maxlen"))


class KafkaTable(Table):
    """Topics of Kafka, over aiokafka."""

    bootstrap_servers: Servers
    topic: Function = None
    idempotent: bool = True

    def target(self) -> Target:
        """Return what a relay publishes to."""
        from faststream.kafka import KafkaBroker

        from mdb_sqla.relay.kafka import Kafka

        broker = KafkaBroker(self.bootstrap_servers, acks="all", enable_idempotence=self.idempotent)
        return Kafka(broker, **self.given("topic"))


class ConfluentTable(Table):
    """Topics of Kafka, over librdkafka, with its own settings."""

    bootstrap_servers: Servers
    topic: Function = None
    idempotent: bool = True
    config: dict[str, Text | int | bool] = {}

    def target(self) -> Target:
        """Return what a relay publishes to."""
        from faststream.confluent import KafkaBroker

        from mdb_sqla.relay.confluent import ConfluentKafka

        settings: Any = self.config
        broker = KafkaBroker(
            self.bootstrap_servers, enable_idempotence=self.idempotent, config=settings
        )
        return ConfluentKafka(broker, **self.given("topic"))
