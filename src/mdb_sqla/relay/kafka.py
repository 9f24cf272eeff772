"""A relay target for Kafka, with aiokafka. Requires the extra `kafka`."""

from __future__ import annotations

import asyncio

from aiokafka.errors import (
    InvalidMessageError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)
from faststream.kafka import KafkaBroker

from mdb_sqla.errors import BrokerRejected, InvalidArgument
from mdb_sqla.relay.broker_target import Destination, checked_broker, checked_destination
from mdb_sqla.relay.envelope import Envelope
from mdb_sqla.relay.topic import category_topic, check_topic, kafka_headers

__all__ = ["Kafka"]

_REJECTIONS = (
    InvalidMessageError,
    InvalidTopicError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)


class Kafka:
    """Kafka topics, with aiokafka.

    A message's key is its cardinal id. The retries of an idempotent producer cause no duplicates;
    consumers recognize the duplicates of a new producer by the header `message_id`.

    Args:
        broker: a FastStream broker used by this relay only, with `enable_idempotence=True`, or at
            least `acks="all"`.
        topic: returns the topic of a message; by default its category.

    Raises:
        InvalidArgument: the broker does not wait for all in-sync replicas, or has a transactional
            id.
    """

    messaging_system = "kafka"

    def __init__(self, broker: KafkaBroker, *, topic: Destination = category_topic) -> None:
        checked_broker(broker, KafkaBroker)
        # The broker has no public attribute for these.
        settings = broker._connection_kwargs
        if not settings.get("enable_idempotence") and settings.get("acks") not in {"all", -1}:
            raise InvalidArgument(
                f"Messages could be lost with acks={settings.get('acks')!r}: use "
                "KafkaBroker(..., enable_idempotence=True)"
            )
        if settings.get("transactional_id"):
            raise InvalidArgument(
                "A relay does not support Kafka transactions: remove transactional_id "
                f"{settings['transactional_id']}"
            )
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
                # The producer may have failed permanently. A slow producer is kept, so it can make
                # progress.
                await self._broker.stop()
            # An interrupted attempt leaves an incomplete producer.
            self._is_broken = True
            await self._broker.connect()
            self._is_broken = False

    async def publish(self, destination: str, envelope: Envelope, timeout: float) -> None:
        """Publish, and wait for the acknowledgement of all in-sync replicas. See `Target`."""
        check_topic(destination, envelope.message)
        try:
            async with asyncio.timeout(timeout):
                await self._broker.publish(
                    envelope.body,
                    destination,
                    key=envelope.key.encode(),
                    headers=kafka_headers(envelope),
                    correlation_id=envelope.id,
                )
        except _REJECTIONS as error:
            raise BrokerRejected(envelope.message, str(error)) from error
        except KafkaError:
            self._is_broken = True
            raise

    async def close(self) -> None:
        """Disconnect. See `Target`."""
        await self._broker.stop()
