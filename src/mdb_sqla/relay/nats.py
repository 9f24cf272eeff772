"""Publishes to NATS JetStream; needs the extra `nats`."""

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
_LONGEST_SUBJECT = 3_000  # bytes; it is in one line, of 4,096, with the address of the reply
_HEADERS_AROUND = 500  # bytes; what FastStream, the client and the protocol add


class JetStream:
    """A stream of NATS JetStream.

    A message's id is its `Nats-Msg-Id`: a repeat within the stream's `duplicate_window` is dropped
    by the server.

    Args:
        broker: FastStream's; this relay's own.
        stream: the name of the stream, which must keep the subjects.
        subject: tells the subject of a message; `category.type` unless it is given.

    Raises:
        InvalidArgument: an argument is of another type.
    """

    def __init__(self, broker: NatsBroker, *, stream: str, subject: Destination = dotted) -> None:
        self.destination = checked_destination("subject", subject)
        self._broker = checked_broker(broker, NatsBroker)
        self._stream = text("stream", stream)
        self._client: Client | None = None

    @property
    def name(self) -> str:
        """What it is, for people."""
        return f"JetStream {self._stream}"

    async def connect(self, timeout: float) -> None:
        """Connect, unless it is connected. See `Target`."""
        client = self._client = self._client or self._broker._connection
        if client is None or not (client.is_connected or client.is_reconnecting):
            client = await self._connected(timeout)
        # However the broker was made: a client that has given up can't be connected again.
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
        # With headers it is more than the client checks, and the server would end the connection.
        size = len(envelope.body) + sum(map(len, headers)) + sum(map(len, headers.values()))
        if size + _HEADERS_AROUND > self._client.max_payload:
            raise BrokerRejected(
                envelope.message,
                f"it has {size} bytes, and NATS takes {self._client.max_payload}",
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
            # 503 is a server, or a stream, that can't for now.
            if error.code is None or error.code >= 500:
                raise
            raise BrokerRejected(envelope.message, str(error.description)) from error

    async def close(self) -> None:
        """Disconnect. See `Target`."""
        client, self._client = self._client or self._broker._connection, None
        try:
            # FastStream drains it, which a client refuses that is not connected for now.
            if client is not None:
                await client.close()
        finally:
            # Or one that could not be closed in time would be taken for connected.
            self._broker._connection = None
            await self._broker.stop()

    async def _connected(self, timeout: float) -> Client:
        """Return a new client once it is connected."""
        client = Client()
        try:
            async with asyncio.timeout(timeout):
                # What the server has refused once closes a client for good.
                await self.close()
                # FastStream would hide it until it is connected, and it could not be closed before.
                self._client = client
                await client.connect(**self._broker._connection_kwargs)
        except TimeoutError as error:
            # It tries again until its time is up, whatever is wrong.
            if told := str(client.last_error or ""):
                raise ConnectionError(told) from error
            raise
        self._broker._connection = client
        self._broker.config.connect(client)
        self._broker._setup_logger()
        return client

    async def _check_subject(self, subject: str, envelope: Envelope) -> None:
        """Check that a subject nobody listens to is one of a stream which is away for now.

        Raises:
            BrokerRejected: it is of no stream.
        """
        assert self._client is not None  # noqa: S101 (connected before)
        stream = self._client.jetstream()
        # Where this one is missing, it is not the message.
        await stream.stream_info(self._stream)
        try:
            await stream.find_stream_name_by_subject(subject)
        except NotFoundError as error:
            raise BrokerRejected(envelope.message, f"no stream keeps {subject!r}") from error


def _check(subject: str, envelope: Envelope) -> None:
    """Check what the client lets through: the server would take it otherwise, or not answer.

    Raises:
        BrokerRejected: it is no subject, or one with which to command the server.
    """
    first, *rest = tokens = subject.split(".")
    if {"", "*", ">"} & {*tokens}:
        raise BrokerRejected(envelope.message, f"{subject!r} is no subject to publish to")
    if len(subject.encode()) > _LONGEST_SUBJECT:
        raise BrokerRejected(envelope.message, f"its subject is too long: {subject!r}")
    if first in _COMMANDS and rest:
        # Whoever may write a message could have the relay delete streams.
        raise BrokerRejected(envelope.message, f"{subject!r} is a command")


def _cloud_event(envelope: Envelope) -> dict[str, str]:
    if not envelope.attributes:
        return {}
    attributes = {**envelope.attributes, "datacontenttype": JSON}
    return {f"ce-{name}": percent_encoded(value) for name, value in attributes.items()}
