"""A relay target for RabbitMQ. Requires the extra `rabbitmq`."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from aio_pika import RobustConnection
from aiormq.exceptions import ChannelPreconditionFailed, PublishError
from faststream.rabbit import RabbitBroker, RabbitExchange
from pamqp.commands import Basic

from mdb_sqla.errors import BrokerRejected, InvalidArgument
from mdb_sqla.relay.broker_target import Destination, checked_broker, checked_destination, dotted
from mdb_sqla.relay.envelope import JSON, Envelope
from mdb_sqla.words.argument_checks import integer, text

__all__ = ["RabbitMQ"]

_MAX_ROUTING_KEY = 255  # bytes, an AMQP short string
_MAX_SIZE = re.compile(r"max size (\d+)")
_MAX_HEADERS = 120_000  # bytes; headers must fit into one frame of 131,072 bytes


class RabbitMQ:
    """A RabbitMQ exchange.

    Messages are persistent and mandatory: an unroutable message is rejected. The property
    `message_id` is the message's id. RabbitMQ does not deduplicate.

    Args:
        broker: a FastStream broker used by this relay only, with publisher confirms.
        exchange: the exchange, which must exist; by default the default exchange, whose routing
            keys are queue names.
        routing_key: returns the routing key of a message; by default `category.type`.
        max_message_size: the value of the server's setting of the same name, in bytes. If a message
            is larger, the server closes the channel, and all messages in flight are published
            again. If the server's limit turns out to be lower, the relay adopts it.

    Raises:
        InvalidArgument: an argument has the wrong type.
    """

    messaging_system = "rabbitmq"

    def __init__(
        self,
        broker: RabbitBroker,
        *,
        exchange: RabbitExchange | str | None = None,
        routing_key: Destination = dotted,
        max_message_size: int = 16 * 1024**2,
    ) -> None:
        self.destination = checked_destination("routing_key", routing_key)
        self._broker = checked_broker(broker, RabbitBroker)
        if exchange is not None and not isinstance(exchange, RabbitExchange):
            exchange = text("exchange", exchange)
        self._exchange = exchange
        self._max_message_size = integer("max_message_size", max_message_size, 1)
        self._connection: RobustConnection | None = None
        broker._connection_kwargs["connection_class"] = self._make_connection

    @property
    def name(self) -> str:
        """The display name."""
        name = self._exchange.name if isinstance(self._exchange, RabbitExchange) else self._exchange
        return f"RabbitMQ {name}" if name else "RabbitMQ"

    async def connect(self, timeout: float) -> None:
        """Connect, unless already connected. See `Target`."""
        connection, channel = self._connection, self._broker._channel
        is_connected = connection is not None and connection.connected.is_set()
        async with asyncio.timeout(timeout):
            if is_connected and channel is not None and channel.is_closed:
                # The client reopens a channel only if everything declared on it exists immediately.
                # After a lost connection, both are restored automatically.
                await self.close()
            self._connection = await self._broker.connect()
        channel = self._broker._channel
        if channel is not None and not channel.publisher_confirms:
            raise InvalidArgument("The broker's channel must have publisher_confirms=True")

    async def publish(self, destination: str, envelope: Envelope, timeout: float) -> None:
        """Publish, and wait for the publisher confirm. See `Target`."""
        attributes = {f"cloudEvents:{name}": value for name, value in envelope.attributes.items()}
        headers: dict[str, Any] = {**envelope.headers, **attributes}
        _check(destination, headers, envelope, self._max_message_size)
        try:
            # FastStream's timeout does not cover the confirm.
            async with asyncio.timeout(timeout):
                confirm = await self._broker.publish(
                    envelope.body,
                    exchange=self._exchange,
                    routing_key=destination,
                    mandatory=True,
                    persist=True,
                    headers=headers,
                    content_type=JSON,
                    correlation_id=envelope.id,
                    message_id=envelope.id,
                    message_type=envelope.headers["message_type"],
                    timestamp=envelope.message.time,
                )
        except ChannelPreconditionFailed as error:
            # All messages in flight fail, and any of them may be too large: retry all of them, now
            # that the limit is known.
            if match := _MAX_SIZE.search(str(error)):
                self._max_message_size = min(self._max_message_size, int(match[1]))
            raise
        except PublishError as error:
            # Raised by a channel with `on_return_raises`.
            raise _unroutable(destination, envelope) from error
        if not isinstance(confirm, Basic.Ack):
            raise _unroutable(destination, envelope)

    async def close(self) -> None:
        """Disconnect. See `Target`."""
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                await connection.close()
        finally:
            # A connection that could not be closed in time must not be considered connected.
            self._broker._connection = self._broker._channel = None
            await self._broker.stop()

    def _make_connection(self, *arguments: Any, **options: Any) -> RobustConnection:
        """Create a connection that can be closed while it is connecting."""
        self._connection = RobustConnection(*arguments, **options)
        return self._connection


def _unroutable(destination: str, envelope: Envelope) -> BrokerRejected:
    return BrokerRejected(envelope.message, f"no queue is bound for {destination!r}")


def _check(destination: str, headers: dict[str, str], envelope: Envelope, max_size: int) -> None:
    """Check limits beyond which the server would close the channel or the client would fail.

    Raises:
        BrokerRejected: the message exceeds a limit.
    """
    if len(destination.encode()) > _MAX_ROUTING_KEY:
        raise BrokerRejected(
            envelope.message,
            f"its routing key exceeds {_MAX_ROUTING_KEY} bytes: {destination!r}",
        )
    if len(envelope.headers["message_type"]) > _MAX_ROUTING_KEY:
        raise BrokerRejected(envelope.message, f"its type exceeds {_MAX_ROUTING_KEY} bytes")
    if sum(len(name) + len(value.encode()) + 8 for name, value in headers.items()) > _MAX_HEADERS:
        raise BrokerRejected(
            envelope.message, f"its metadata and headers exceed {_MAX_HEADERS:,} bytes"
        )
    if len(envelope.body) > max_size:
        raise BrokerRejected(
            envelope.message,
            f"it has {len(envelope.body):,} bytes, more than max_message_size, {max_size:,}",
        )
