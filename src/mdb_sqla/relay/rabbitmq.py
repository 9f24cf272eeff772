"""Publishes to RabbitMQ; needs the extra `rabbitmq`."""

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

_LONGEST_ROUTING_KEY = 255  # bytes, a short string of AMQP
_MAX_SIZE = re.compile(r"max size (\d+)")
_LARGEST_HEADERS = 120_000  # bytes; they must fit into one frame, of 131,072


class RabbitMQ:
    """An exchange of RabbitMQ.

    Messages are persistent and mandatory: what no queue is bound for is refused. A message's id is
    the property `message_id`; RabbitMQ itself recognises no repeats.

    Args:
        broker: FastStream's; this relay's own. Its channel has publisher confirms, or nothing is
            published.
        exchange: where to publish, which must exist; the default exchange, with the name of a queue
            as routing key, unless it is given.
        routing_key: tells the routing key of a message; `category.type` unless it is given.
        max_message_size: in bytes, the server's setting of that name; beyond it the server ends the
            channel, and with it what else is in flight, which is published again. Where the
            server's is less, that is learned from it.

    Raises:
        InvalidArgument: an argument is of another type.
    """

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
        """What it is, for people."""
        name = self._exchange.name if isinstance(self._exchange, RabbitExchange) else self._exchange
        return f"RabbitMQ {name}" if name else "RabbitMQ"

    async def connect(self, timeout: float) -> None:
        """Connect, unless it is connected. See `Target`."""
        connection, channel = self._connection, self._broker._channel
        is_connected = connection is not None and connection.connected.is_set()
        async with asyncio.timeout(timeout):
            if is_connected and channel is not None and channel.is_closed:
                # It is opened again only where what was declared on it is there at once. Where the
                # connection is lost, both come back by themselves.
                await self.close()
            self._connection = await self._broker.connect()
        channel = self._broker._channel
        if channel is not None and not channel.publisher_confirms:
            raise InvalidArgument("A channel with publisher_confirms=False confirms nothing")

    async def publish(self, destination: str, envelope: Envelope, timeout: float) -> None:
        """Publish, and wait for the publisher confirm. See `Target`."""
        attributes = {f"cloudEvents:{name}": value for name, value in envelope.attributes.items()}
        headers = {**envelope.headers, **attributes}
        _check(destination, headers, envelope, self._max_message_size)
        try:
            # Its own time-out does not hold for the confirm.
            async with asyncio.timeout(timeout):
                confirm = await self._broker.publish(
                    envelope.body,
                    exchange=self._exchange,
                    routing_key=destination,
                    mandatory=True,
                    persist=True,
                    headers={**headers},
                    content_type=JSON,
                    correlation_id=envelope.id,
                    message_id=envelope.id,
                    message_type=envelope.headers["message_type"],
                    timestamp=envelope.message.time,
                )
        except ChannelPreconditionFailed as error:
            # It ends what else is in flight, too. None is refused for another's size: all are
            # published again, and which are too large is known by then.
            if told := _MAX_SIZE.search(str(error)):
                self._max_message_size = min(self._max_message_size, int(told[1]))
            raise
        except PublishError as error:
            # As `on_return_raises` of a channel has it.
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
            # Or one that could not be closed in time would be taken for connected.
            self._broker._connection = self._broker._channel = None
            await self._broker.stop()

    def _make_connection(self, *arguments: Any, **options: Any) -> RobustConnection:
        """Make a connection that can be closed before it is one; else it would go on trying."""
        self._connection = RobustConnection(*arguments, **options)
        return self._connection


def _unroutable(destination: str, envelope: Envelope) -> BrokerRejected:
    return BrokerRejected(envelope.message, f"no queue is bound for {destination!r}")


def _check(destination: str, headers: dict[str, str], envelope: Envelope, largest: int) -> None:
    """Check what the server would end the channel for, or the client could not send."""
    if len(destination.encode()) > _LONGEST_ROUTING_KEY:
        raise BrokerRejected(envelope.message, f"its routing key is too long: {destination!r}")
    if len(envelope.headers["message_type"]) > _LONGEST_ROUTING_KEY:
        raise BrokerRejected(envelope.message, "its type is too long")
    if sum(len(name) + len(value.encode()) + 8 for name, value in headers.items()) > (
        _LARGEST_HEADERS
    ):
        raise BrokerRejected(envelope.message, "its metadata is too large")
    if len(envelope.body) > largest:
        raise BrokerRejected(
            envelope.message, f"it has {len(envelope.body)} bytes, and RabbitMQ takes {largest}"
        )
