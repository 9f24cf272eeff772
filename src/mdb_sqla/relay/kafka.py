"""Publishes to Kafka over aiokafka; needs the extra `kafka`."""

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

_REFUSALS = (
    InvalidMessageError,
    InvalidTopicError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)


class Kafka:
    """Topics of Kafka, over aiokafka.

    A message's key is its cardinal id. An idempotent producer does not repeat what it sends again
    by itself; what a new one sends again is recognised by the header `message_id`.

    Args:
        broker: FastStream's, made with `enable_idempotence=True`, or at least with `acks="all"`;
            this relay's own.
        topic: tells the topic of a message; its category unless it is given.

    Raises:
        InvalidArgument: the broker waits for fewer replicas than all that are in sync, or has a
            transactional id.
    """

    def __init__(self, broker: KafkaBroker, *, topic: Destination = category_topic) -> None:
        checked_broker(broker, KafkaBroker)
        # It has no public attribute that tells.
        told = broker._connection_kwargs
        if not told.get("enable_idempotence") and told.get("acks") not in {"all", -1}:
            raise InvalidArgument(
                "Messages could be lost: KafkaBroker(..., enable_idempotence=True) waits for all"
            )
        if told.get("transactional_id"):
            raise InvalidArgument(
                f"A relay has no transactions in Kafka: transactional_id {told['transactional_id']}"
            )
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
                # A producer may have failed for good. One that is only slow must stay, or would
                # never come to an end.
                await self._broker.stop()
            # An attempt that is cut short leaves half a producer behind.
            self._is_broken = True
            await self._broker.connect()
            self._is_broken = False

    async def publish(self, destination: str, envelope: Envelope, timeout: float) -> None:
        """Publish, and wait for the acknowledgement of all replicas in sync. See `Target`."""
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
        except _REFUSALS as error:
            raise BrokerRejected(envelope.message, str(error)) from error
        except KafkaError:
            self._is_broken = True
            raise

    async def close(self) -> None:
        """Disconnect. See `Target`."""
        await self._broker.stop()
