"""The trace context of written messages: where it comes from, and how it gets into the metadata."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from mdb_sqla.store.message_limits import Row
from mdb_sqla.store.write_arguments import Origin, Write
from mdb_sqla.telemetry import (
    SEND,
    Instrumentation,
    Operation,
    carrier_of,
    extracted,
    injected,
)
from mdb_sqla.telemetry.attributes import CONVERSATION_ID, MESSAGE_ID, MESSAGE_TYPE, STREAM_NAME
from mdb_sqla.words.message import Message
from mdb_sqla.words.stream_name import StreamName

if TYPE_CHECKING:
    from opentelemetry.context import Context

__all__ = ["RecordedRows", "recorded_rows", "rows_of"]

_MAX_LINKS = 128  # the limit of an SDK by default


class RecordedRows(NamedTuple):
    """Rows to write.

    Attributes:
        rows: the rows.
        untraced: the metadata as it was before a trace context was added, by message id.
    """

    rows: Sequence[Row]
    untraced: Mapping[UUID, str | None]


def rows_of(writes: Iterable[Write]) -> list[Row]:
    """Return the rows of writes without a trace context."""
    return [(write.stream_name, *entry) for write in writes for entry in write.entries]


def recorded_rows(
    found: Instrumentation, writes: Sequence[Write], stack: ExitStack, within: Operation | None
) -> RecordedRows:
    """Enter the operations that write, and return the rows with the context of their spans.

    Writes of one origin, such as an HTTP request, share an operation.

    Args:
        found: what records.
        writes: the writes.
        stack: leaves the operations.
        within: the operation that writes, if it isn't a send operation; it is already entered.
    """
    contexts: dict[int | None, str | None] = {}
    for group in _by_origin(writes):
        operation = within or stack.enter_context(_send(found, group))
        context = None if operation.context is None else injected(operation.context)
        text = json.dumps(context) if context else None
        contexts |= {_id(write.origin): text for write in group}
    rows: list[Row] = []
    untraced: dict[UUID, str | None] = {}
    traced: dict[UUID, str | None] = {}
    for write in writes:
        properties = write.origin.properties if write.origin else [None] * len(write.entries)
        for (message, data, metadata), own in zip(write.entries, properties, strict=True):
            text = contexts[_id(write.origin)]
            if own is None or text is None:
                rows.append((write.stream_name, message, data, metadata))
                continue
            # A repeated message is the same one, although its origin is another one.
            if message.id not in untraced or untraced[message.id] != metadata:
                untraced[message.id] = metadata
                traced[message.id] = _with_properties(metadata, own, text)
            rows.append((write.stream_name, message, data, traced[message.id]))
    return RecordedRows(rows, untraced)


def _by_origin(writes: Iterable[Write]) -> Iterable[list[Write]]:
    """Return writes grouped by the span and baggage of their origin."""
    keys: dict[int | None, object] = {None: None}
    groups: dict[object, list[Write]] = {}
    for write in writes:
        if write.entries:
            id_ = _id(write.origin)
            if write.origin is not None and id_ not in keys:
                keys[id_] = _key(write.origin)
            groups.setdefault(keys[id_], []).append(write)
    return groups.values()


def _id(origin: Origin | None) -> int | None:
    # Most writes share a context, and its span is not looked up for each of them.
    return None if origin is None else id(origin.context)


def _key(origin: Origin) -> object:
    from opentelemetry import baggage
    from opentelemetry.trace import get_current_span

    span = get_current_span(origin.context).get_span_context()
    return span.trace_id, span.span_id, repr(baggage.get_all(origin.context))


def _send(found: Instrumentation, writes: Sequence[Write]) -> Operation:
    numbers = Counter[str]()
    for write in writes:
        numbers[write.stream_name.category] += len(write.entries)
    if found.tracer is None:
        return Operation(found, SEND, numbers)
    origin = writes[0].origin
    return Operation(
        found,
        SEND,
        numbers,
        parent=None if origin is None else origin.context,
        links=_own_contexts(writes),
        attributes=_attributes(writes),
    )


def _attributes(writes: Sequence[Write]) -> dict[str, Any]:
    """Return the attributes of a message, or of its stream if there are several messages."""
    streams: set[StreamName] = {write.stream_name for write in writes}
    attributes: dict[str, Any] = {STREAM_NAME: str(*streams)} if len(streams) == 1 else {}
    messages = [message for write in writes[:2] for message, *_ in write.entries[:2]]
    if len(messages) == 1:
        attributes |= {MESSAGE_ID: str(messages[0].id), MESSAGE_TYPE: messages[0].type}
        correlation = (messages[0].metadata or {}).get("correlationStreamName")
        if isinstance(correlation, str):
            attributes[CONVERSATION_ID] = str(correlation)
    return attributes


def _own_contexts(writes: Iterable[Write]) -> list[Context]:
    """Return the trace contexts that the application has given to messages."""
    own: list[Message] = [
        message
        for write in writes
        if write.origin is not None
        for (message, *_), properties in zip(write.entries, write.origin.properties, strict=True)
        if properties is None
    ]
    contexts = [extracted(carrier_of(message.metadata)) for message in own[:_MAX_LINKS]]
    return [context for context in contexts if context is not None]


def _with_properties(metadata: str | None, properties: str, context: str) -> str:
    """Return the JSON of metadata with the trace context in its properties.

    The text is spliced rather than serialized again: the metadata may have changed since, and its
    numbers stay as they are. Of two equal keys, `jsonb` keeps the last one.
    """
    combined = _joined(properties, context)
    return _joined(metadata or "{}", f'{{"properties":{combined}}}')


def _joined(first: str, second: str) -> str:
    """Return the JSON of an object with the keys of two objects."""
    body = first.strip()[1:-1].strip()
    return second if not body else f"{{{body},{second[1:]}"
