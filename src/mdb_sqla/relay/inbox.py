from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote
from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy.orm import Session

from mdb_sqla.column_types import json_serializer
from mdb_sqla.database.execution import database, dialect_of
from mdb_sqla.errors import DuplicateMessageId, InvalidArgument
from mdb_sqla.message_types import MessageTypes
from mdb_sqla.relay.operations import mark_duplicate, reception
from mdb_sqla.store.write_arguments import Write, traced_fields
from mdb_sqla.store.writes import write_all
from mdb_sqla.telemetry import W3C_FIELDS
from mdb_sqla.words.argument_checks import described, instance
from mdb_sqla.words.message import Message, StoredMessage
from mdb_sqla.words.stream_name import category_name

if TYPE_CHECKING:
    from faststream.message import StreamMessage
    from sqlalchemy.ext.asyncio import AsyncSession

__all__ = ["Inbox"]

_CLOUD_EVENTS = ("ce-", "ce_", "cloudevents:", "cloudevents_")
_DERIVED = "mdb_sqla.Inbox"


class Inbox:
    """An idempotent receiver: stores the messages that a FastStream subscriber receives, once.

    A message is stored in the same transaction as the application's rows: both commit or neither,
    and only once, however often the broker delivers the message.

        inbox = Inbox("shipping:order")

        @broker.subscriber("order.Placed", stream="ORDERS", ack_policy=AckPolicy.NACK_ON_ERROR)
        async def placed(message: NatsMessage) -> None:
            async with factory.begin() as session:
                if await inbox.receive_async(session, message):
                    session.add(Shipment(...))

    A message published by a relay keeps its type, data and stream id, and follows the published
    message, including its correlation. So does a CloudEvent, as far as its attributes allow. Other
    messages require a header `message_id` or `Nats-Msg-Id`, or the AMQP property `message_id`.

    Args:
        category: the category to write to. The stream is `category-id`, with the id of the original
            stream or, if there is none, of the message.
        types: the message types. With them, `decode` returns received messages as objects.

    Raises:
        InvalidArgument: the name is not a category, or `types` are not message types.
    """

    def __init__(self, category: str, *, types: MessageTypes | None = None) -> None:
        self.category = category_name(category)
        self._types = None if types is None else instance("types", types, MessageTypes)

    def receive(self, session: Session, received: StreamMessage[Any]) -> bool:
        """Store a received message in the session's transaction, unless it is already stored.

        Args:
            session: a session, whose transaction the application commits.
            received: the message that FastStream passes to a subscriber, such as `NatsMessage` or
                `RabbitMessage`.

        Returns:
            Whether the message is new. A duplicate waits for a concurrent transaction that stores
            the same message.

        Raises:
            InvalidArgument: the message has no id by which duplicates can be recognized, is not
                JSON, or is a batch; use a subscriber without `batch`.
            InvalidMessage: PostgreSQL can't store the message, for example because it contains NUL.
        """
        db, found = database(session), _ReceivedMessage(received)
        stream_name, message = self._message(found)
        traced = traced_fields()
        if traced is None:
            message = _with_context(message, found.headers)
        serialize = json_serializer(dialect_of(db))
        write = Write.of_pair((stream_name, message), serialize, traced)
        with reception(found.id, found.headers, stream_name, message) as recorded:
            try:
                # Duplicates are recognized by the id alone: a redelivery may have another trace.
                with session.begin_nested():
                    write_all(db, [write], idempotent=False, within=recorded)
            except DuplicateMessageId:
                mark_duplicate(recorded)
                return False
            return True

    async def receive_async(self, session: AsyncSession, received: StreamMessage[Any]) -> bool:
        """Store a received message with an `AsyncSession`. See `receive`."""
        return await session.run_sync(self.receive, received)

    def decode(self, received: StreamMessage[Any]) -> Any:
        """Return a received message as an object of its message type.

        Call it in the transaction in which the message is stored: if it raises, the transaction is
        rolled back, and the broker delivers the message again or dead-letters it.

        Args:
            received: the message that FastStream passes to a subscriber.

        Raises:
            UnknownMessageType: no class has the name of the message's type.
            DecodingFailed: the data is not valid, an upcaster failed, or the message was written by
                a later version of the application.
            InvalidArgument: the inbox has no message types. See `receive` for invalid messages.
        """
        if self._types is None:
            raise InvalidArgument(
                f"The inbox {self.category!r} has no message types: pass it types=MessageTypes(...)"
            )
        found = _ReceivedMessage(received)
        published = found.published()
        if published is None:
            stream_name, message = self._message(found)
            published = StoredMessage(
                found.id, stream_name, message.type, -1, -1, message.data, {}, datetime.now(UTC)
            )
        return self._types.decode(published)

    def _message(self, received: _ReceivedMessage) -> tuple[str, Message]:
        # Not the received id: the store may also contain the published message, and messages whose
        # ids are derived from it.
        id_ = uuid5(uuid5(received.id, _DERIVED), self.category)
        message = Message(received.type, received.data, id=id_)
        if (published := received.published()) is None:
            return f"{self.category}-{received.id}", message
        _, _, of_stream = published.stream_name.partition("-")
        stream_name = f"{self.category}-{of_stream or received.id}"
        return stream_name, _with_version(message.follow(published), published)


def _with_version(message: Message, published: StoredMessage) -> Message:
    """Return a message with the version of the schema that the published data has."""
    known: Any = published.metadata if isinstance(published.metadata, dict) else {}
    version = known.get("schemaVersion")
    if version is None:
        return message
    return replace(message, metadata={**(message.metadata or {}), "schemaVersion": version})


def _with_context(message: Message, headers: Mapping[str, str]) -> Message:
    """Return a message with the trace context of the headers in its properties."""
    context = {name: headers[name] for name in W3C_FIELDS if name in headers}
    if not context:
        return message
    metadata = message.metadata or {}
    properties = metadata.get("properties")
    others = properties if isinstance(properties, Mapping) else {}
    return replace(message, metadata={**metadata, "properties": {**others, **context}})


class _ReceivedMessage:
    """A FastStream message with its decoded headers."""

    def __init__(self, received: StreamMessage[Any]) -> None:
        if not hasattr(received, "batch_headers"):
            raise InvalidArgument(
                "received must be a message that FastStream passes to a subscriber, got "
                f"{described(received)}"
            )
        if received.batch_headers or isinstance(received.body, list):
            raise InvalidArgument(
                "An inbox can't receive a batch: use a subscriber that receives single messages"
            )
        self.headers = {
            str(name).lower(): _text(value)
            for name, value in received.headers.items()
            if value is not None
        }
        self._cloud_event = _attributes(self.headers)
        self._body = received.body
        # The AMQP property. For other protocols, FastStream generates an id.
        self._raw_id = getattr(received.raw_message, "message_id", None)

    @property
    def id(self) -> UUID:
        message_id, event_id = self.headers.get("message_id"), self._cloud_event.get("id")
        id_ = message_id or event_id or self.headers.get("nats-msg-id") or self._raw_id
        if not isinstance(id_, str) or not id_:
            raise InvalidArgument(
                "The received message has no id by which duplicates can be recognized: its headers "
                f"({', '.join(self.headers)}) must include message_id, a CloudEvents id or "
                "Nats-Msg-Id"
            )
        source = self._cloud_event.get("source", "")
        # The id of a CloudEvent is unique only within its source.
        if message_id or not (event_id and source):
            with suppress(ValueError):
                return UUID(id_)
        return uuid5(uuid5(NAMESPACE_URL, source), id_)

    @property
    def type(self) -> str:
        type_ = self.headers.get("message_type")
        return unquote(type_) if type_ else self._cloud_event.get("type") or "Received"

    @property
    def data(self) -> Any:
        if not self._body:
            return None
        try:
            return json.loads(self._body)
        except (ValueError, RecursionError) as error:
            raise InvalidArgument(f"The received message is not JSON: {error}") from error

    def published(self) -> StoredMessage | None:
        """Return the original message if a relay published it, or None."""
        headers = self.headers
        try:
            return StoredMessage(
                id=self.id,
                stream_name=unquote(headers["stream_name"]),
                type=self.type,
                position=int(headers["position"]),
                global_position=int(headers["global_position"]),
                data=self.data,
                metadata=json.loads(headers.get("metadata", "{}")),
                time=datetime.fromisoformat(headers["time"]),
            )
        except (KeyError, ValueError, RecursionError):
            return None


def _text(value: Any) -> str:
    # A header that can't be decoded is no reason to reject the message.
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


def _attributes(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the CloudEvents attributes by name, decoding those with the prefix `ce-`."""
    return {
        name.removeprefix(prefix): unquote(value) if prefix == "ce-" else value
        for prefix in _CLOUD_EVENTS
        for name, value in headers.items()
        if name.startswith(prefix)
    }
