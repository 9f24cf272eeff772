"""Each write is a span, whose context is in the metadata of what it wrote."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode, Tracer, format_span_id, format_trace_id

from mdb_sqla import Message, WrongExpectedVersion, write_on_commit
from tests.telemetry.spans import Spans


def written_by(span: Any) -> str:
    context = span.context
    flags = f"{context.trace_flags:02x}"
    return f"00-{format_trace_id(context.trace_id)}-{format_span_id(context.span_id)}-{flags}"


def stored(flavour: Any, category: str = "order") -> list[Any]:
    with flavour.connection() as connection:
        messages: list[Any] = flavour.run(flavour.store(connection).read_category(category))
    return messages


def test_a_message(flavour: Any, spans: Spans, tracer: Tracer) -> None:
    message = Message("Placed", {"total": 1}).with_correlation("fleet-1")
    with tracer.start_as_current_span("request"), flavour.session() as session:
        flavour.run(flavour.store(session).write("order-1", message))
        flavour.run(session.commit())

    assert spans.drawn() == "request\n  send order"
    span = spans.one("send order")
    assert span.kind is SpanKind.PRODUCER
    assert span.attributes == {
        "messaging.system": "mdb_sqla",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "order",
        "messaging.message.id": str(message.id),
        "messaging.message.conversation_id": "fleet-1",
        "messaging.mdb_sqla.message.type": "Placed",
        "messaging.mdb_sqla.stream.name": "order-1",
    }
    (found,) = stored(flavour)
    assert found.metadata == {
        "correlationStreamName": "fleet-1",
        "properties": {"traceparent": written_by(span)},
    }
    assert message.metadata == {"correlationStreamName": "fleet-1"}


def test_a_batch(flavour: Any, spans: Spans) -> None:
    with flavour.session() as session:
        store = flavour.store(session)
        flavour.run(store.write("order-1", [Message("A"), Message("B")]))
        pairs = [("order-1", Message("C")), ("invoice-1", Message("D"))]
        flavour.run(store.write_messages(pairs))
        flavour.run(session.commit())

    one_stream, several = spans.all
    assert one_stream.name == "send order"
    assert one_stream.attributes is not None
    assert one_stream.attributes["messaging.batch.message_count"] == 2
    assert one_stream.attributes["messaging.mdb_sqla.stream.name"] == "order-1"
    assert "messaging.message.id" not in one_stream.attributes
    assert several.name == "send"
    assert several.attributes == {
        "messaging.system": "mdb_sqla",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.batch.message_count": 2,
    }
    found = {each.type: each.metadata["properties"]["traceparent"] for each in stored(flavour)}
    assert found == {
        "A": written_by(one_stream),
        "B": written_by(one_stream),
        "C": written_by(several),
    }


def test_copy(flavour: Any, spans: Spans) -> None:
    with flavour.session() as session:
        messages = [Message("A", n, {"n": n}) for n in range(300)]
        flavour.run(flavour.store(session).write("order-1", messages))
        flavour.run(session.commit())

    (span,) = spans.all
    found = stored(flavour)
    assert len(found) == 300
    for number, each in enumerate(found):
        assert each.metadata == {"n": number, "properties": {"traceparent": written_by(span)}}


def test_a_load_has_a_span_for_each_chunk_and_adds_nothing(flavour: Any, spans: Spans) -> None:
    with flavour.session() as session:
        pairs = [("order-1", Message("A")) for _ in range(3)]
        flavour.run(flavour.store(session).load(pairs))
        flavour.run(session.commit())

    assert spans.drawn() == "send order"
    assert [each.metadata for each in stored(flavour)] == [{}] * 3


def test_messages_of_a_commit_have_the_spans_in_which_they_were_added(
    flavour: Any, spans: Spans, tracer: Tracer
) -> None:
    with flavour.session() as session:
        with tracer.start_as_current_span("request"):
            write_on_commit(session, "order-1", Message("A"))
            with tracer.start_as_current_span("discount"):
                write_on_commit(session, "order-2", Message("B"))
            write_on_commit(session, "order-3", Message("C"))
        with tracer.start_as_current_span("middleware"):
            flavour.run(session.commit())

    assert spans.drawn() == ("request\n  discount\n    send order\n  send order\nmiddleware")
    a, b, c = (each.metadata["properties"]["traceparent"] for each in stored(flavour))
    assert a == c != b
    by_number = {
        (span.attributes or {}).get("messaging.batch.message_count", 1): written_by(span)
        for span in spans.all
        if span.name == "send order"
    }
    assert by_number == {1: b, 2: a}


def test_a_unit_of_work(flavour: Any, spans: Spans, tracer: Tracer) -> None:
    with (
        flavour.session() as session,
        tracer.start_as_current_span("request"),
        flavour.unit_of_work(session) as unit,
    ):
        unit.write("order-1", Message("A"))
        unit.expect("invoice-1", -1)
        flavour.run(unit.commit())

    assert spans.drawn() == "request\n  send order"


def test_expected_versions_alone_are_no_write(flavour: Any, spans: Spans) -> None:
    with flavour.session() as session, flavour.unit_of_work(session) as unit:
        unit.expect("order-1", -1)
        flavour.run(unit.commit())

    assert spans.all == []


def test_a_write_that_is_rolled_back_before_it_happens(flavour: Any, spans: Spans) -> None:
    with flavour.session() as session:
        write_on_commit(session, "order-1", Message("A"))
        flavour.run(session.rollback())

    assert spans.all == []


def test_a_refused_write(flavour: Any, spans: Spans) -> None:
    with flavour.session() as session, pytest.raises(WrongExpectedVersion):
        flavour.run(flavour.store(session).write("order-1", Message("A"), expected_version=7))

    span = spans.one("send order")
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes is not None
    assert span.attributes["error.type"] == "mdb_sqla.errors.WrongExpectedVersion"
    assert [event.name for event in span.events] == ["exception"]


def test_the_scope_is_this_package(flavour: Any, spans: Spans) -> None:
    import mdb_sqla

    with flavour.session() as session:
        flavour.run(flavour.store(session).write("order-1", Message("A")))

    scope = spans.one("send order").instrumentation_scope
    assert scope is not None
    assert (scope.name, scope.version) == ("mdb_sqla", mdb_sqla.__version__)
    assert scope.schema_url is not None
    assert scope.schema_url.startswith("https://opentelemetry.io/schemas/1.")
