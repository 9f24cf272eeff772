"""Publishes to streams of Redis; needs the extra `redis`."""

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

_CONNECTIONS = 32  # each command takes one, and a pool that has no more raises an error
_LONGEST_HEADER = 65_535  # bytes, in FastStream's format


class RedisStreams:
    """Streams of Redis.

    Redis itself recognises no repeats: whoever reads does, by the header `message_id`.

    Args:
        broker: FastStream's; this relay's own.
        stream: tells the name of the stream for a message; its category unless it is given.
        maxlen: about how many messages a stream keeps; all of them unless it is given.

    Raises:
        InvalidArgument: an argument is of another type.
    """

    def __init__(
        self, broker: RedisBroker, *, stream: Destination = category, maxlen: int | None = None
    ) -> None:
        self.destination = checked_destination("stream", stream)
        self._broker = checked_broker(broker, RedisBroker)
        self._maxlen = None if maxlen is None else integer("maxlen", maxlen, 1)
        self._client: Redis | None = None
        self._connections = asyncio.Semaphore(_CONNECTIONS)

    @property
    def name(self) -> str:
        """What it is, for people."""
        return "Redis"

    async def connect(self, timeout: float) -> None:
        """Connect, unless it is connected. See `Target`."""
        async with asyncio.timeout(timeout):
            client = await self._broker.connect()
        if client is not self._client:
            self._client = client
            most = min(_CONNECTIONS, client.connection_pool.max_connections)
            self._connections = asyncio.Semaphore(most)

    async def publish(self, destination: str, envelope: Envelope, timeout: float) -> None:
        """Publish, and wait for the reply to XADD. See `Target`."""
        attributes = envelope.attributes.items()
        # There is no binding of CloudEvents for Redis: as in NATS.
        cloud_event = {f"ce-{name}": percent_encoded(value) for name, value in attributes}
        headers = {**envelope.headers, "content-type": JSON, **cloud_event}
        if max(map(len, headers.values())) > _LONGEST_HEADER:
            raise BrokerRejected(envelope.message, "its metadata is too large")
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
            # Others, as where its memory is full, are the server's and will pass.
            if str(error).startswith("WRONGTYPE"):
                raise BrokerRejected(
                    envelope.message, f"in Redis, {destination!r} is no stream"
                ) from error
            # Such as that it is another's replica by now: the next attempt looks who is there.
            if self._client is not None:
                await self._client.connection_pool.disconnect(inuse_connections=False)
            raise

    async def close(self) -> None:
        """Disconnect. See `Target`."""
        self._client = None
        await self._broker.stop()
