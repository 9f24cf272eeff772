"""The operations of relays and inboxes, for spans and metrics."""

from __future__ import annotations

from mdb_sqla.relay.broker_target import Target, category, dotted
from mdb_sqla.relay.topic import category_topic
from mdb_sqla.telemetry import (
    NOT_RECORDED,
    PUBLISH,
    RECEIVE,
    NotRecorded,
    Operation,
    TextContext,
    extracted,
    instrumentation,
)
from mdb_sqla.telemetry.attributes import (
    DESTINATION,
    DUPLICATE,
    MESSAGE_ID,
    MESSAGE_TYPE,
    STREAM_NAME,
)
from mdb_sqla.words.message import Message, StoredMessage
from mdb_sqla.words.stream_name import StreamName

__all__ = ["mark_duplicate", "publication", "reception"]

_BOUNDED = frozenset({category, category_topic, dotted})
"""Functions that return few destinations. One of the application may return one per stream."""


def publication(
    target: Target, destination: str, message: StoredMessage
) -> Operation | NotRecorded:
    """Return the operation of publishing a message."""
    if (found := instrumentation()) is None:
        return NOT_RECORDED
    return Operation(
        found,
        PUBLISH,
        {destination if target.destination in _BOUNDED else "": 1},
        system=getattr(target, "messaging_system", type(target).__name__.lower()),
        attributes={
            DESTINATION: destination,
            MESSAGE_ID: str(message.id),
            MESSAGE_TYPE: message.type,
            STREAM_NAME: message.stream_name,
        },
    )


def reception(
    received_id: object, headers: TextContext, stream_name: str, message: Message
) -> Operation | NotRecorded:
    """Return the operation of storing a received message.

    Its parent is the span of the subscriber, if the broker has a telemetry middleware; otherwise
    that of the sender.

    Args:
        received_id: the id of the received message.
        headers: the headers of the received message.
        stream_name: the stream to write to.
        message: the message to write.
    """
    if (found := instrumentation()) is None:
        return NOT_RECORDED
    numbers: dict[str, int] = {StreamName(stream_name).category: 1}
    if found.tracer is None:
        return Operation(found, RECEIVE, numbers)
    from opentelemetry.trace import get_current_span

    sender = extracted(headers)
    has_current = get_current_span().get_span_context().is_valid
    return Operation(
        found,
        RECEIVE,
        numbers,
        parent=None if has_current else sender,
        links=() if sender is None else (sender,),
        attributes={
            MESSAGE_ID: str(received_id),
            MESSAGE_TYPE: message.type,
            STREAM_NAME: stream_name,
        },
    )


def mark_duplicate(operation: Operation | None) -> None:
    """Mark the span of a received message that is already stored, which is no error."""
    if operation is not None and operation.span is not None:
        operation.span.set_attribute(DUPLICATE, True)
