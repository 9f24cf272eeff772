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
    "has_own_context",
    "injected",
]

W3C_FIELDS = ("traceparent", "tracestate", "baggage")

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


def has_own_context(metadata: Mapping[str, Any], names: Collection[str]) -> bool:
    """Return whether the application has given a message a trace context.

    The properties of a message that follows another one are those of the preceding message.

    Args:
        metadata: the message's metadata.
        names: the names of the properties that a trace context has.
    """
    if "causationMessageGlobalPosition" in metadata:
        return False
    properties = metadata.get("properties")
    return isinstance(properties, Mapping) and any(name in properties for name in names)


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
    context = extract(carrier, set_span_in_context(INVALID_SPAN, baggage.clear(get_current())))
    is_valid = get_current_span(context).get_span_context().is_valid
    return context if is_valid else None
