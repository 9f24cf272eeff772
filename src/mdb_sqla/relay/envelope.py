from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from mdb_sqla.relay.cloud_events import CloudEvents
from mdb_sqla.telemetry import TextContext, context_of
from mdb_sqla.words.message import StoredMessage
from mdb_sqla.words.stream_name import ordering_key

__all__ = ["JSON", "Envelope", "enveloped"]

JSON = "application/json"

_METADATA = json.JSONEncoder(default=str)  # json.dumps() would create one for each call
_PRINTABLE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


class Envelope(NamedTuple):
    """A message in a broker-independent format.

    Attributes:
        message: the message.
        id: the message's id as text.
        body: the data as JSON.
        headers: the headers, in printable ASCII. See docs/relay.md.
        attributes: the CloudEvents attributes by name, without a protocol's prefix.
    """

    message: StoredMessage
    id: str
    body: bytes
    headers: Mapping[str, str]
    attributes: Mapping[str, str]

    @property
    def key(self) -> str:
        """The ordering key: messages with the same key are published in order."""
        return ordering_key(self.message.stream_name)


def enveloped(
    message: StoredMessage,
    serialize: Callable[[Any], str],
    cloud_events: CloudEvents | None,
    trace_context: TextContext | None = None,
) -> Envelope:
    """Return the envelope of a message.

    Args:
        message: the message.
        serialize: the engine's JSON serializer.
        cloud_events: the CloudEvents attributes to add, if any.
        trace_context: the trace context of the publication; by default that of the message.
    """
    id_ = str(message.id)
    return Envelope(
        message=message,
        id=id_,
        body=serialize(message.data).encode(),
        headers=_headers(message, id_, trace_context),
        attributes={} if cloud_events is None else cloud_events.attributes(message),
    )


def _headers(message: StoredMessage, id_: str, trace_context: TextContext | None) -> dict[str, str]:
    headers = {
        # FastStream's parsers expect this name.
        "message_id": id_,
        "message_type": _ascii(message.type),
        "stream_name": _ascii(message.stream_name),
        "position": str(message.position),
        "global_position": str(message.global_position),
        "time": message.time.isoformat(timespec="microseconds"),
    }
    # Other clients may write any JSON as metadata.
    if isinstance(message.metadata, dict) and message.metadata:
        # In one header: keys may not be valid header names, and values may not be text.
        headers["metadata"] = _METADATA.encode(message.metadata)
    context = trace_context or context_of(message.metadata)
    # The values are already percent-encoded.
    texts = {name: quote(value, safe=f"{_PRINTABLE}%").strip() for name, value in context.items()}
    return headers | texts


def _ascii(value: str) -> str:
    # Also encodes `%`, which makes decoding exact, and spaces if there are leading or trailing
    # ones, which clients strip.
    is_stripped = value.strip(" ") == value
    if is_stripped and value.isascii() and value.isprintable() and "%" not in value:
        return value
    return quote(value, safe=_PRINTABLE if is_stripped else _PRINTABLE.lstrip())
