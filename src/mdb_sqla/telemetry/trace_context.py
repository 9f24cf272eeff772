"""The trace context of messages, in the `properties` of their metadata."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.context import Context

__all__ = [
    "W3C_FIELDS",
    "TextContext",
    "carrier_of",
    "context_of",
    "extracted",
    "fields",
    "injected",
    "own_properties",
]

_BAGGAGE = "baggage"
W3C_FIELDS = ("traceparent", "tracestate", _BAGGAGE)

TextContext = dict[str, str]
"""A trace context as text: `traceparent`, and possibly `tracestate` and `baggage`."""


def carrier_of(metadata: object) -> TextContext:
    """Return the texts in the metadata of a message, with a trace context if there is one.

    It is in the properties or, as earlier versions of the inbox stored it, in the metadata itself.
    Other clients may write any JSON as metadata, and as properties.
    """
    if not isinstance(metadata, Mapping) or not metadata:
        return {}
    properties = metadata.get("properties")
    known = {**metadata, **properties} if isinstance(properties, Mapping) else metadata
    return {name: value for name, value in known.items() if isinstance(value, str)}


def context_of(metadata: object) -> TextContext:
    """Return the trace context of a message by the W3C's names."""
    carrier = carrier_of(metadata)
    return {name: carrier[name] for name in W3C_FIELDS if name in carrier}


def own_properties(metadata: Mapping[str, Any], names: Collection[str]) -> Mapping[str, Any] | None:
    """Return the properties of a message to which a trace context is to be added.

    None if they must stay as they are: they are no object, or the application has given the message
    a trace context itself. Those of a message that follows another one are copies, and are returned
    without the other one's trace context.

    Args:
        metadata: the message's metadata.
        names: the names of the properties that a trace context can have.
    """
    properties = metadata.get("properties")
    if properties is None:
        return {}
    if not isinstance(properties, Mapping):
        return None
    if "causationMessageGlobalPosition" in metadata:
        return {name: value for name, value in properties.items() if name not in names}
    # Baggage alone refers to no span.
    has_span = any(isinstance(properties.get(name), str) for name in names if name != _BAGGAGE)
    return None if has_span else properties


# These import OpenTelemetry, and so are called only if the application has set up an SDK.


def fields() -> frozenset[str]:
    """Return the names that a trace context can have, with the application's propagators."""
    from opentelemetry.propagate import get_global_textmap

    return frozenset({*get_global_textmap().fields, *W3C_FIELDS})


def injected(context: Context) -> TextContext:
    """Return a context as text."""
    from opentelemetry.propagate import inject

    carrier: TextContext = {}
    inject(carrier, context)
    return carrier


def extracted(carrier: TextContext) -> Context | None:
    """Return the current context with the span and baggage of a message or of headers.

    None if the carrier has no valid trace context.
    """
    from opentelemetry import baggage
    from opentelemetry.context import get_current
    from opentelemetry.propagate import extract
    from opentelemetry.trace import INVALID_SPAN, get_current_span, set_span_in_context

    if not carrier:
        return None
    # Neither the span nor the baggage of the caller belongs to the message.
    try:
        context = extract(carrier, set_span_in_context(INVALID_SPAN, baggage.clear(get_current())))
    except ValueError:
        # Propagators should ignore what they can't parse, but some fail, for example at surrogates.
        return None
    is_valid = get_current_span(context).get_span_context().is_valid
    return context if is_valid else None
