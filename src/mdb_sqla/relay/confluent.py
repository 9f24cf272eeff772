"""Publishes to Kafka over librdkafka; needs the extra `confluent`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from faststream.confluent import KafkaBroker
from faststream.confluent.helpers.config import ConfluentFastConfig

from mdb_sqla.errors import BrokerRejected, InvalidArgument
from mdb_sqla.relay.broker_target import Destination, checked_broker, checked_destination
from mdb_sqla.relay.envelope import Envelope
from mdb_sqla.relay.topic import category_topic, check_topic, kafka_headers

__all__ = ["ConfluentKafka"]

_ACKS = {"acks", "request.required.acks"}
_SERVERS = {"bootstrap.servers", "metadata.broker.list"}
_IMPOSSIBLE = {"delivery.report.only.error", "transactional.id"}
_OFF = {"", "none", "false", "f", "0"}
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
        broker: FastStream's, best made with `enable_idempotence=True`; this relay's own.
        topic: tells the topic of a message; its category unless it is given.

    Raises:
        InvalidArgument: the broker waits for fewer replicas than all that are in sync, or has other
            settings with which nothing could be confirmed, or that librdkafka does not take.
    """

    def __init__(self, broker: KafkaBroker, *, topic: Destination = category_topic) -> None:
        checked_broker(broker, KafkaBroker)
        _check_settings(broker.config.broker_config.connection_config)
        self.destination = checked_destination("topic", topic)
        self._broker = broker
        self._is_broken = False

    @property
    def name(self) -> str:
        """What it is, for people."""
        return "Kafka"

    async def connect(self, timeout: float) -> None:
        """Connect, unless it is connected. See `Target`."""
        async with asyncio.timeout(timeout):
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
                raise BrokerRejected(envelope.message, error.args[0].str()) from error
            # Not where it is only slow: a new producer would begin anew, again and again.
            if error.args[0].code() == KafkaError._FATAL:
                self._is_broken = True
            raise

    async def close(self) -> None:
        """Disconnect. See `Target`."""
        self._is_broken = True
        # Nobody waits any more for what it still sends, and the process would, to flush it.
        state: Any = self._broker.config.broker_config.producer
        if state:
            state._producer.producer.producer.purge()
        await self._broker.stop()
        self._is_broken = False


def _check_settings(config: ConfluentFastConfig) -> None:
    """Check what would look like an outage otherwise, or lose messages."""
    try:
        settings = config.producer_config
    except ValueError as error:
        raise InvalidArgument(f"FastStream: {error}") from error
    for name in _ACKS & settings.keys():
        if str(settings[name]) not in {"all", "-1"}:
            raise InvalidArgument(
                f"Messages could be lost with {name} = {settings[name]}: it must be all"
            )
    for name in _IMPOSSIBLE & settings.keys():
        if str(settings[name]).lower() not in _OFF:
            raise InvalidArgument(f"With {name} = {settings[name]} no message would be confirmed")
    _make(Producer, settings)
    _make(AdminClient, config.admin_config)


def _make(client: Callable[[dict[str, Any]], Any], settings: dict[str, Any]) -> None:
    # It has no servers to connect to, and nothing to say of that.
    rest = {name: value for name, value in settings.items() if name not in _SERVERS}
    try:
        client({**rest, "log_level": 0})
    except KafkaException as error:
        raise InvalidArgument(f"librdkafka: {error.args[0].str().strip()}") from error
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"librdkafka: {error}") from error


def _look_at(confirm: asyncio.Future[Any]) -> None:
    """Look at what nobody waits for any more, so that it is not reported as lost."""
    if not confirm.cancelled():
        confirm.exception()
