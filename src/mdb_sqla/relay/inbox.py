from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote
from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy.orm import Session

from mdb_sqla.errors import DuplicateMessageId, InvalidArgument
from mdb_sqla.store.message_store import MessageStore
from mdb_sqla.words.argument_checks import described
from mdb_sqla.words.message import Message, StoredMessage
from mdb_sqla.words.stream_name import category_name

if TYPE_CHECKING:
    from faststream.message import StreamMessage
    from sqlalchemy.ext.asyncio import AsyncSession

__all__ = ["Inbox"]

_CLOUD_EVENTS = ("ce-", "ce_", "cloudevents:", "cloudevents_")
_DERIVED = "mdb_sqla.Inbox"
_TRACE_CONTEXT = ("traceparent", "tracestate", "baggage")


class Inbox:
    """Keeps what a subscriber of FastStream receives, and recognises what it has received before.

    It is written within the transaction of the application's own rows: both are there, or neither,
    however often the broker delivers it.

        inbox = Inbox("shipping:order")

        @broker.subscriber("order.Placed", stream="ORDERS", ack_policy=AckPolicy.NACK_ON_ERROR)
        async def placed(message: NatsMessage) -> None:
            async with factory.begin() as session:
                if await inbox.receive_async(session, message):
                    session.add(Shipment(...))

    What a relay has published keeps its type, its data and the id of its stream; it follows the
    message that was published, with its correlation, as if that were in this store. So do events of
    CloudEvents, as far as they tell. Other messages need the header `message_id`, `Nats-Msg-Id`, or
    AMQP's property.

    Args:
        category: where it is written: to `category-id`, with the id of the stream that it was
            published from, or, where there is none, that of the message.

    Raises:
        InvalidArgument: it is no category.
    """

    def __init__(self, category: str) -> None:
        self.category = category_name(category)

    def receive(self, session: Session, received: StreamMessage[Any]) -> bool:
        """Keep what was received, in the session's transaction, unless it is there already.

        Args:
            session: in a transaction, which the application commits.
            received: what FastStream hands to a subscriber: `NatsMessage`, `RabbitMessage`, ….

        Returns:
            Whether it is new. A repeat of what another transaction is receiving waits for that.

        Raises:
            InvalidArgument: it has no id by which a repeat would be recognised, or no JSON; or it
                is a batch, whose messages a subscriber without `batch` gets one by one.
            InvalidMessage: PostgreSQL can't store it, as where it has NUL in it.
        """
        stream_name, message = self._message(_Received(received))
        try:
            # Recognised by the id alone: another attempt may have another trace.
            with session.begin_nested():
                MessageStore(session).write_messages([(stream_name, message)], idempotent=False)
        except DuplicateMessageId:
            return False
        return True

    async def receive_async(self, session: AsyncSession, received: StreamMessage[Any]) -> bool:
        """Do the same in an async application. See `receive`."""
        return await session.run_sync(self.receive, received)

    def _message(self, received: _Received) -> tuple[str, Message]:
        # Not the id itself: the store may have the message that was published, too, and messages
        # with ids that are derived from its id.
        id_ = uuid5(uuid5(received.id, _DERIVED), self.category)
        message = Message(received.type, received.data, id=id_)
        if (published := received.published()) is None:
            return f"{self.category}-{received.id}", _traced(message, received)
        _, _, of_stream = published.stream_name.partition("-")
        stream_name = f"{self.category}-{of_stream or received.id}"
        return stream_name, _traced(message.follow(published), received)


def _traced(message: Message, received: _Received) -> Message:
    trace = {name: received.headers[name] for name in _TRACE_CONTEXT if name in received.headers}
    metadata = {**(message.metadata or {}), **trace}
    return Message(message.type, message.data, metadata or None, message.id)


class _Received:
    """A message of FastStream's, and what its headers tell."""

    def __init__(self, received: StreamMessage[Any]) -> None:
        if not hasattr(received, "batch_headers"):
            raise InvalidArgument(
                f"An inbox receives what FastStream hands to a subscriber: {described(received)}"
            )
        if received.batch_headers or isinstance(received.body, list):
            raise InvalidArgument("An inbox receives messages one by one, not as a batch")
        self.headers = {
            str(name).lower(): _text(value)
            for name, value in received.headers.items()
            if value is not None
        }
        self._cloud_event = _attributes(self.headers)
        self._body = received.body
        # AMQP has a property for it; elsewhere FastStream makes one up.
        self._of_raw = getattr(received.raw_message, "message_id", None)

    @property
    def id(self) -> UUID:
        message_id, of_event = self.headers.get("message_id"), self._cloud_event.get("id")
        told = message_id or of_event or self.headers.get("nats-msg-id") or self._of_raw
        if not isinstance(told, str) or not told:
            raise InvalidArgument(
                "What was received has no id by which to recognise a repeat: no message_id, id of "
                f"CloudEvents or Nats-Msg-Id among its headers ({', '.join(self.headers)})"
            )
        source = self._cloud_event.get("source", "")
        # The id of an event is its source's alone, whatever it looks like.
        if message_id or not (of_event and source):
            with suppress(ValueError):
                return UUID(told)
        return uuid5(uuid5(NAMESPACE_URL, source), told)

    @property
    def type(self) -> str:
        told = self.headers.get("message_type")
        return unquote(told) if told else self._cloud_event.get("type") or "Received"

    @property
    def data(self) -> Any:
        if not self._body:
            return None
        try:
            return json.loads(self._body)
        except (ValueError, RecursionError) as error:
            raise InvalidArgument(f"What was received is not JSON: {error}") from error

    def published(self) -> StoredMessage | None:
        """Return what a relay has published, as it was stored there; None from somebody else."""
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
    # Somebody else's header may be anything, and is nothing to refuse the message for.
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


def _attributes(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes of CloudEvents by name; HTTP's rule encodes them in two protocols."""
    return {
        name.removeprefix(prefix): unquote(value) if prefix == "ce-" else value
        for prefix in _CLOUD_EVENTS
        for name, value in headers.items()
        if name.startswith(prefix)
    }
