"""A relay target for NATS JetStream. Requires the extra `nats`."""

from __future__ import annotations

import asyncio

from faststream.nats import NatsBroker
from nats.aio.client import Client
from nats.errors import BadHeaderError, BadSubjectError, MaxPayloadError
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError

from mdb_sqla.errors import BrokerRejected
from mdb_sqla.relay.broker_target import Destination, checked_broker, checked_destination, dotted
from mdb_sqla.relay.cloud_events import percent_encoded
from mdb_sqla.relay.envelope import JSON, Envelope
from mdb_sqla.words.argument_checks import text

__all__ = ["JetStream"]

_COMMANDS = {"$JS", "$SYS"}
_MAX_SUBJECT = 3_000  # bytes; a protocol line of 4,096 contains it and the reply subject
_HEADER_OVERHEAD = 500  # bytes added by FastStream, the client and the protocol


class JetStream:
    """A stream of NATS JetStream.

    A message's id is its `Nats-Msg-Id`: the server drops duplicates within the stream's
    `duplicate_window`.

    Args:
        broker: a FastStream broker used by this relay only.
        stream: the name of the stream, which must be bound to the subjects.
        subject: returns the subject of a message; by default `category.type`.

    Raises:
        InvalidArgument: an argument has the wrong type.
    """

    messaging_system = "nats"

    def __init__(self, broker: NatsBroker, *, stream: str, subject: Destination = dotted) -> None:
        self.destination = checked_destination("subject", subject)
        self._broker = checked_broker(broker, NatsBroker)
        self._stream = text("stream", stream)
        self._client: Client | None = None

    @property
    def name(self) -> str:
        """The display name."""
        return f"JetStream {self._stream}"

    async def connect(self, timeout: float) -> None:
        """Connect, unless already connected. See `Target`."""
        client = self._client = self._client or self._broker._connection
        if client is None or not (client.is_connected or client.is_reconnecting):
            client = await self._connected(timeout)
        # Reconnect indefinitely, regardless of the broker's settings: a client that has given up
        # can't be reused.
        client.options["max_reconnect_attempts"] = -1

    async def publish(self, destination: str, envelope: Envelope, timeout: float) -> None:
        """Publish, and wait for the acknowledgement of the stream. See `Target`."""
        assert self._client is not None  # noqa: S101 (connected before)
        _check(destination, envelope)
        headers = {
            **envelope.headers,
            "content-type": JSON,
            "Nats-Msg-Id": envelope.id,
            **_cloud_event(envelope),
        }
        # The client's check ignores headers, and the server would close the connection.
        size = len(envelope.body) + sum(map(len, headers)) + sum(map(len, headers.values()))
        if size + _HEADER_OVERHEAD > self._client.max_payload:
            raise BrokerRejected(
                envelope.message,
                f"it has {size:,} bytes, more than the max_payload of NATS, "
                f"{self._client.max_payload:,}",
            )
        try:
            await self._broker.publish(
                envelope.body,
                destination,
                headers=headers,
                correlation_id=envelope.id,
                stream=self._stream,
                timeout=timeout,
            )
        except (BadSubjectError, BadHeaderError, MaxPayloadError) as error:
            raise BrokerRejected(envelope.message, f"{error} ({destination!r})") from error
        except NoStreamResponseError:
            await self._check_subject(destination, envelope)
            raise
        except APIError as error:
            # 503: a server or stream is temporarily unavailable.
            if error.code is None or error.code >= 500:
                raise
            raise BrokerRejected(envelope.message, str(error.description)) from error

    async def close(self) -> None:
        """Disconnect. See `Target`."""
        client, self._client = self._client or self._broker._connection, None
        try:
            # FastStream drains the client, which fails if it is disconnected.
            if client is not None:
                await client.close()
        finally:
            # A client that could not be closed in time must not be considered connected.
            self._broker._connection = None
            await self._broker.stop()

    async def _connected(self, timeout: float) -> Client:
        """Return a new client once it is connected."""
        client = Client()
        try:
            async with asyncio.timeout(timeout):
                # A client that the server rejected can't be reused.
                await self.close()
                # Connected here, because FastStream can't close a client before it is connected.
                self._client = client
                await client.connect(**self._broker._connection_kwargs)
        except TimeoutError as error:
            # The client retries until the timeout, whatever the error.
            if reason := str(client.last_error or ""):
                raise ConnectionError(reason) from error
            raise
        self._broker._connection = client
        self._broker.config.connect(client)
        self._broker._setup_logger()
        return client

    async def _check_subject(self, subject: str, envelope: Envelope) -> None:
        """Check that a subject belongs to a stream, after there was no response for it.

        Raises:
            BrokerRejected: the subject belongs to no stream.
        """
        assert self._client is not None  # noqa: S101 (connected before)
        stream = self._client.jetstream()
        # If the stream itself is missing, the message is not at fault.
        await stream.stream_info(self._stream)
        try:
            await stream.find_stream_name_by_subject(subject)
        except NotFoundError as error:
            raise BrokerRejected(
                envelope.message, f"no stream has the subject {subject!r}"
            ) from error


def _check(subject: str, envelope: Envelope) -> None:
    """Check a subject more thoroughly than the client does.

    Raises:
        BrokerRejected: the subject is not valid, or is a command to the server.
    """
    first, *rest = tokens = subject.split(".")
    if {"", "*", ">"} & {*tokens}:
        raise BrokerRejected(envelope.message, f"{subject!r} is not a valid NATS subject")
    if len(subject.encode()) > _MAX_SUBJECT:
        raise BrokerRejected(
            envelope.message, f"its subject exceeds {_MAX_SUBJECT:,} bytes: {subject!r}"
        )
    if first in _COMMANDS and rest:
        # Otherwise any writer of messages could make the relay delete streams.
        raise BrokerRejected(envelope.message, f"subject {subject!r} is a command to the server")


def _cloud_event(envelope: Envelope) -> dict[str, str]:
    if not envelope.attributes:
        return {}
    attributes = {**envelope.attributes, "datacontenttype": JSON}
    return {f"ce-{name}": percent_encoded(value) for name, value in attributes.items()}
