"""What a message carries on, and what is replaced."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from opentelemetry import baggage
from opentelemetry.context import attach, detach
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    Tracer,
    TraceState,
    set_span_in_context,
)
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.orm import Session

from mdb_sqla import Message, MessageStore, StoredMessage, write_on_commit
from tests.telemetry.spans import Spans

OLD = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def written(connection: Connection, message: Message) -> StoredMessage:
    store = MessageStore(connection)
    store.write("order-1", message)
    found = store.last_message("order-1")
    assert found is not None
    return found


def properties(message: StoredMessage) -> dict[str, Any]:
    return message.metadata["properties"]


def test_tracestate_and_baggage(connection: Connection, spans: Spans) -> None:
    remote = SpanContext(
        trace_id=1,
        span_id=2,
        is_remote=True,
        trace_flags=TraceFlags(1),
        trace_state=TraceState([("vendor", "1")]),
    )
    context = set_span_in_context(NonRecordingSpan(remote))
    token = attach(baggage.set_baggage("tenant", "Zoë", context))
    try:
        found = written(connection, Message("A"))
    finally:
        detach(token)

    assert properties(found).keys() == {"traceparent", "tracestate", "baggage"}
    assert properties(found)["tracestate"] == "vendor=1"
    assert properties(found)["baggage"] == "tenant=Zo%C3%AB"


def test_the_current_span_replaces_the_one_that_was_followed(
    connection: Connection, spans: Spans
) -> None:
    context = {"traceparent": OLD, "tracestate": "a=1", "baggage": "b=2", "tenant": "x"}
    cause = written(connection, Message("A", metadata={"properties": context}))
    effect = written(connection, Message("B").follow(cause))

    assert properties(cause) == context
    (span,) = [span for span in spans.all[1:] if span.context]
    assert properties(effect).keys() == {"traceparent", "tenant"}
    assert span.context is not None
    assert f"{span.context.span_id:016x}" in properties(effect)["traceparent"]


def test_without_an_sdk_the_followed_one_stays(connection: Connection) -> None:
    context = {"traceparent": OLD, "tenant": "x"}
    cause = written(connection, Message("A", metadata={"properties": context}))
    effect = written(connection, Message("B").follow(cause))

    assert properties(effect) == context


def test_a_context_that_the_application_has_set_stays_and_is_linked(
    connection: Connection, spans: Spans
) -> None:
    found = written(connection, Message("A", metadata={"properties": {"traceparent": OLD}}))

    assert properties(found) == {"traceparent": OLD}
    (link,) = spans.one("send order").links
    assert f"{link.context.trace_id:032x}" in OLD


def test_baggage_alone_is_no_context(connection: Connection, spans: Spans) -> None:
    found = written(connection, Message("A", metadata={"properties": {"baggage": "a=1"}}))

    assert properties(found)["baggage"] == "a=1"
    assert "traceparent" in properties(found)


@pytest.mark.parametrize("value", [["x"], "x", 7, True, [{"traceparent": OLD}]])
def test_properties_that_are_no_object(connection: Connection, spans: Spans, value: Any) -> None:
    assert properties(written(connection, Message("A", metadata={"properties": value}))) == value


@pytest.mark.parametrize("value", [None, {}, {"a": [1, {"b": None}], "c": "}"}])
def test_other_properties_stay(connection: Connection, spans: Spans, value: Any) -> None:
    metadata = {"properties": value, "localProperties": {"d": 1}}
    found = written(connection, Message("A", metadata=metadata))

    others = {name: each for name, each in properties(found).items() if name != "traceparent"}
    assert others == (value or {})
    assert found.metadata["localProperties"] == {"d": 1}
    assert "traceparent" in properties(found)


def test_what_changes_before_the_commit_is_not_written(engine: Engine, spans: Spans) -> None:
    own: dict[str, Any] = {"tenant": "x"}
    metadata: dict[str, Any] = {"properties": own}
    with Session(engine) as session:
        write_on_commit(session, "order-1", Message("A", metadata=metadata))
        own["tenant"] = "y"
        metadata["late"] = True
        session.commit()
        found = MessageStore(session).last_message("order-1")

    assert found is not None
    assert found.metadata.keys() == {"properties"}
    assert properties(found)["tenant"] == "x"


@pytest.mark.parametrize("indent", [None, 2])
def test_numbers_stay_as_the_serializer_writes_them(
    engine: Engine, spans: Spans, indent: int | None
) -> None:
    number = "1.2345678901234567890123456789"

    def serialize(value: Any) -> str:
        text = json.dumps(value, default=lambda each: f"number {each}", indent=indent)
        return text.replace(f'"number {number}"', number)

    other = create_engine(
        engine.url,
        json_serializer=serialize,
        json_deserializer=lambda text: json.loads(text, parse_float=Decimal),
    )
    metadata = {"rate": Decimal(number), "properties": {"rate": Decimal(number)}}
    with other.begin() as connection:
        found = written(connection, Message("A", metadata=metadata))
    other.dispose()

    assert found.metadata["rate"] == properties(found)["rate"] == Decimal(number)  # type: ignore[typeddict-item]
    assert "traceparent" in properties(found)


def test_a_span_that_is_not_sampled(connection: Connection, spans: Spans, tracer: Tracer) -> None:
    """Its context goes on, so that nobody records the rest of the trace."""
    remote = SpanContext(trace_id=1, span_id=2, is_remote=True, trace_flags=TraceFlags(0))
    token = attach(set_span_in_context(NonRecordingSpan(remote)))
    try:
        found = written(connection, Message("A"))
    finally:
        detach(token)

    assert spans.all == []
    assert properties(found)["traceparent"].startswith(f"00-{1:032x}-")
    assert properties(found)["traceparent"].endswith("-00")
