"""Publishes to Kafka over librdkafka; needs the extra `confluent`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from faststream.confluent import KafkaBroker

from mdb_sqla.errors import BrokerRefused, InvalidArgument
from mdb_sqla.relay.envelope import Envelope
from mdb_sqla.relay.target import Destination
from mdb_sqla.relay.topic import category_topic, check_topic, kafka_headers

__all__ = ["ConfluentKafka"]

_REFUSALS = {
    KafkaError.INVALID_MSG,
    KafkaError.INVALID_MSG_SIZE,
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.RECORD_LIST_TOO_LARGE,
    KafkaError.TOPIC_EXCEPTION,
}


class ConfluentKafka:
    """Topics of Kafka, over librdkafka. See `mdb_sqla.relay.kafka.Kafka`.

    Args:
        broker: FastStream's, made with `enable_idempotence=True`, or at least with `acks="all"`;
            this relay's own.
        topic: tells the topic of a message; its category unless it is given.

    Raises:
        InvalidArgument: the broker waits for fewer replicas than all that are in sync, or its
            settings are none that librdkafka takes.
    """

    def __init__(self, broker: KafkaBroker, *, topic: Destination = category_topic) -> None:
        config = broker.config.broker_config.connection_config
        told = config.producer_config
        if not told.get("enable.idempotence") and str(told.get("acks")) not in {"all", "-1"}:
            raise InvalidArgument(
                "Messages could be lost: KafkaBroker(..., enable_idempotence=True) waits for all"
            )
        _check(Producer, told)
        _check(AdminClient, config.admin_config)
        self.destination = topic
        self._broker = broker
        self._is_broken = False

    @property
    def name(self) -> str:
        """What it is, for people."""
        return "Kafka"

    async def connect(self) -> None:
        """Connect, unless it is connected. See `Target`."""
        if self._is_broken:
            await self._broker.stop()
            self._is_broken = False
        await self._broker.connect()

    async def publish(self, destination: str, envelope: Envelope, timeout: float) -> None:
        """Publish, and wait for the acknowledgement of all replicas in sync. See `Target`."""
        check_topic(destination, envelope.message)
        try:
            # What is too large is refused before it is sent.
            confirm = await self._broker.publish(
                envelope.body,
                destination,
                key=envelope.key.encode(),
                headers=kafka_headers(envelope),
                correlation_id=envelope.id,
                no_confirm=True,
            )
            # When nobody waits any more, librdkafka goes on with it, and tells of the end.
            confirm.add_done_callback(_look_at)
            await asyncio.wait_for(asyncio.shield(confirm), timeout)
        except KafkaException as error:
            if error.args[0].code() in _REFUSALS:
                raise BrokerRefused(envelope.message, error.args[0].str()) from error
            # Not where it is only slow: a new producer would begin anew, again and again.
            if error.args[0].code() == KafkaError._FATAL:
                self._is_broken = True
            raise

    async def close(self) -> None:
        """Disconnect. See `Target`."""
        # What it sends is flushed, for which there may be too little time.
        self._is_broken = True
        await self._broker.stop()
        self._is_broken = False


def _check(client: Callable[[dict[str, Any]], Any], settings: dict[str, Any]) -> None:
    """Check what FastStream would make such a client with, where it would look like an outage."""
    try:
        # It has no servers to connect to, and nothing to say of that.
        client({**settings, "bootstrap.servers": "", "log_level": 0})
    except KafkaException as error:
        raise InvalidArgument(f"librdkafka: {error.args[0].str().strip()}") from error


def _look_at(confirm: asyncio.Future[Any]) -> None:
    """Look at what nobody waits for any more, so that it is not reported as lost."""
    if not confirm.cancelled():
        confirm.exception()
