from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from mdb_sqla.relay.cloud_events import CloudEvents
from mdb_sqla.words.message import StoredMessage
from mdb_sqla.words.stream_name import ordering_key

__all__ = ["JSON", "Envelope", "enveloped"]

JSON = "application/json"

_TRACE_CONTEXT = ("traceparent", "tracestate", "baggage")
_METADATA = json.JSONEncoder(default=str)  # made once: json.dumps() makes one for each call
_PRINTABLE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


class Envelope(NamedTuple):
    """A message as it travels, whatever the broker.

    Attributes:
        message: what is sent.
        id: its id, as text.
        body: the data, as JSON.
        headers: what is known about the message, in printable ASCII; see docs/relay.md.
        attributes: those of CloudEvents by name, without a protocol's prefix.
    """

    message: StoredMessage
    id: str
    body: bytes
    headers: Mapping[str, str]
    attributes: Mapping[str, str]

    @property
    def key(self) -> str:
        """Whose messages stay in order."""
        return ordering_key(self.message.stream_name)


def enveloped(
    message: StoredMessage, serialize: Callable[[Any], str], cloud_events: CloudEvents | None
) -> Envelope:
    """Return a message as it travels.

    Args:
        message: what is to be sent.
        serialize: the engine's JSON serializer, which has written the data once.
        cloud_events: whether to add their attributes.
    """
    id_ = str(message.id)
    return Envelope(
        message=message,
        id=id_,
        body=serialize(message.data).encode(),
        headers=_headers(message, id_),
        attributes={} if cloud_events is None else cloud_events.attributes(message),
    )


def _headers(message: StoredMessage, id_: str) -> dict[str, str]:
    headers = {
        # FastStream's own parsers look for this one.
        "message_id": id_,
        "message_type": _ascii(message.type),
        "stream_name": _ascii(message.stream_name),
        "position": str(message.position),
        "global_position": str(message.global_position),
        "time": message.time.isoformat(timespec="microseconds"),
    }
    # Another client may have written any JSON as metadata.
    if isinstance(message.metadata, dict) and message.metadata:
        # One header: keys of metadata need not be names of headers, nor values text.
        headers["metadata"] = _METADATA.encode(message.metadata)
        headers |= _trace_context(message.metadata)
    return headers


def _trace_context(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers of W3C's trace context, from the metadata or its properties."""
    properties = metadata.get("properties")
    known = {**(properties if isinstance(properties, dict) else {}), **metadata}
    # They have an encoding with `%` of their own, which tracing decodes once.
    return {
        name: quote(known[name], safe=f"{_PRINTABLE}%").strip()
        for name in _TRACE_CONTEXT
        if isinstance(known.get(name), str)
    }


def _ascii(value: str) -> str:
    # `%` is encoded too, so that whoever decodes gets what was there; and spaces where there are
    # some around it, which clients leave out.
    is_stripped = value.strip(" ") == value
    if is_stripped and value.isascii() and value.isprintable() and "%" not in value:
        return value
    return quote(value, safe=_PRINTABLE if is_stripped else _PRINTABLE.lstrip())
