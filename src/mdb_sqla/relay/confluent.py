"""A relay target for Kafka, with librdkafka. Requires the extra `confluent`."""

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
_UNSUPPORTED = {"delivery.report.only.error", "transactional.id"}
_OFF = {"", "none", "false", "f", "0"}
_REJECTIONS = {
    KafkaError.INVALID_MSG,
    KafkaError.INVALID_MSG_SIZE,
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.RECORD_LIST_TOO_LARGE,
    KafkaError.TOPIC_EXCEPTION,
}


class ConfluentKafka:
    """Kafka topics, with librdkafka. See `mdb_sqla.relay.kafka.Kafka`.

    Args:
        broker: a FastStream broker used by this relay only, preferably with
            `enable_idempotence=True`.
        topic: returns the topic of a message; by default its category.

    Raises:
        InvalidArgument: the broker does not wait for all in-sync replicas, or has settings that
            prevent confirms or that librdkafka rejects.
    """

    messaging_system = "kafka"

    def __init__(self, broker: KafkaBroker, *, topic: Destination = category_topic) -> None:
        checked_broker(broker, KafkaBroker)
        _check_settings(broker.config.broker_config.connection_config)
        self.destination = checked_destination("topic", topic)
        self._broker = broker
        self._is_broken = False

    @property
    def name(self) -> str:
        """The display name."""
        return "Kafka"

    async def connect(self, timeout: float) -> None:
        """Connect, unless already connected. See `Target`."""
        async with asyncio.timeout(timeout):
            if self._is_broken:
                await self._broker.stop()
                self._is_broken = False
            await self._broker.connect()

    async def publish(self, destination: str, envelope: Envelope, timeout: float) -> None:
        """Publish, and wait for the acknowledgement of all in-sync replicas. See `Target`."""
        check_topic(destination, envelope.message)
        try:
            # The client rejects messages that are too large without sending them.
            confirm = await self._broker.publish(
                envelope.body,
                destination,
                key=envelope.key.encode(),
                headers=kafka_headers(envelope),
                correlation_id=envelope.id,
                no_confirm=True,
            )
            # After a timeout, librdkafka continues and completes the future later.
            confirm.add_done_callback(_retrieve_exception)
            await asyncio.wait_for(asyncio.shield(confirm), timeout)
        except KafkaException as error:
            if error.args[0].code() in _REJECTIONS:
                raise BrokerRejected(envelope.message, error.args[0].str()) from error
            # Keep a slow producer: a new one would start over each time.
            if error.args[0].code() == KafkaError._FATAL:
                self._is_broken = True
            raise

    async def close(self) -> None:
        """Disconnect. See `Target`."""
        self._is_broken = True
        # Discard the queue, which the process would otherwise wait to flush.
        state: Any = self._broker.config.broker_config.producer
        if state:
            state._producer.producer.producer.purge()
        await self._broker.stop()
        self._is_broken = False


def _check_settings(config: ConfluentFastConfig) -> None:
    """Reject settings that would lose messages or look like an outage.

    Raises:
        InvalidArgument: there is such a setting.
    """
    try:
        settings = config.producer_config
    except ValueError as error:
        raise InvalidArgument(f"FastStream: {error}") from error
    for name in _ACKS & settings.keys():
        if str(settings[name]) not in {"all", "-1"}:
            raise InvalidArgument(
                f"Messages could be lost with {name} = {settings[name]}: set it to all"
            )
    for name in _UNSUPPORTED & settings.keys():
        if str(settings[name]).lower() not in _OFF:
            raise InvalidArgument(
                f"No message would be confirmed with {name} = {settings[name]}: remove it"
            )
    _check_client(Producer, settings)
    _check_client(AdminClient, config.admin_config)


def _check_client(client: Callable[[dict[str, Any]], Any], settings: dict[str, Any]) -> None:
    # Without servers, the client does not connect.
    rest = {name: value for name, value in settings.items() if name not in _SERVERS}
    try:
        client({**rest, "log_level": 0})
    except KafkaException as error:
        raise InvalidArgument(f"librdkafka: {error.args[0].str().strip()}") from error
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"librdkafka: {error}") from error


def _retrieve_exception(confirm: asyncio.Future[Any]) -> None:
    """Retrieve the exception of a future, or asyncio would log it as never retrieved."""
    if not confirm.cancelled():
        confirm.exception()
