"""A relay target for Redis streams. Requires the extra `redis`."""

from __future__ import annotations

import asyncio

from faststream.redis import RedisBroker
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from mdb_sqla.errors import BrokerRejected
from mdb_sqla.relay.broker_target import Destination, category, checked_broker, checked_destination
from mdb_sqla.relay.cloud_events import percent_encoded
from mdb_sqla.relay.envelope import JSON, Envelope
from mdb_sqla.words.argument_checks import integer

__all__ = ["RedisStreams"]

_MAX_CONNECTIONS = 32  # one per command; an exhausted pool raises an error
_MAX_HEADER = 65_535  # bytes, in FastStream's format


class RedisStreams:
    """Redis streams.

    Redis does not deduplicate. Consumers recognize duplicates by the header `message_id`.

    Args:
        broker: a FastStream broker used by this relay only.
        stream: returns the stream of a message; by default its category.
        maxlen: the approximate number of messages that a stream keeps; by default all.

    Raises:
        InvalidArgument: an argument has the wrong type.
    """

    messaging_system = "redis"

    def __init__(
        self, broker: RedisBroker, *, stream: Destination = category, maxlen: int | None = None
    ) -> None:
        self.destination = checked_destination("stream", stream)
        self._broker = checked_broker(broker, RedisBroker)
        self._maxlen = None if maxlen is None else integer("maxlen", maxlen, 1)
        self._client: Redis | None = None
        self._connections = asyncio.Semaphore(_MAX_CONNECTIONS)

    @property
    def name(self) -> str:
        """The display name."""
        return "Redis"

    async def connect(self, timeout: float) -> None:
        """Connect, unless already connected. See `Target`."""
        async with asyncio.timeout(timeout):
            client = await self._broker.connect()
        if client is not self._client:
            self._client = client
            maximum = min(_MAX_CONNECTIONS, client.connection_pool.max_connections)
            self._connections = asyncio.Semaphore(maximum)

    async def publish(self, destination: str, envelope: Envelope, timeout: float) -> None:
        """Publish, and wait for the reply to XADD. See `Target`."""
        attributes = envelope.attributes.items()
        # CloudEvents has no binding for Redis, so use that of NATS.
        cloud_event = {f"ce-{name}": percent_encoded(value) for name, value in attributes}
        headers = {**envelope.headers, "content-type": JSON, **cloud_event}
        if max(map(len, headers.values())) > _MAX_HEADER:
            raise BrokerRejected(
                envelope.message, f"its metadata exceeds the {_MAX_HEADER:,} bytes of a header"
            )
        try:
            async with asyncio.timeout(timeout), self._connections:
                await self._broker.publish(
                    envelope.body,
                    stream=destination,
                    headers=headers,
                    correlation_id=envelope.id,
                    maxlen=self._maxlen,
                )
        except ResponseError as error:
            # Other errors, such as out of memory, are transient.
            if str(error).startswith("WRONGTYPE"):
                raise BrokerRejected(
                    envelope.message, f"the Redis key {destination!r} is not a stream"
                ) from error
            # The server may have become a replica: reconnect on the next attempt.
            if self._client is not None:
                await self._client.connection_pool.disconnect(inuse_connections=False)
            raise

    async def close(self) -> None:
        """Disconnect. See `Target`."""
        self._client = None
        await self._broker.stop()
