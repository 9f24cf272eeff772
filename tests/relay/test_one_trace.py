"""One trace, from an HTTP request through a broker to the last handler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from faststream import AckPolicy
from faststream.nats import NatsBroker
from faststream.nats.annotations import NatsMessage
from faststream.nats.opentelemetry import NatsTelemetryMiddleware
from httpx2 import ASGITransport, AsyncClient
from opentelemetry import trace
from opentelemetry.context import attach, detach
from opentelemetry.propagate import extract
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.trace import SpanKind, StatusCode, Tracer
from sqlalchemy.orm import Session
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from mdb_sqla import (
    AsyncUnitOfWork,
    Consumer,
    HandlerFailed,
    Inbox,
    Message,
    MessageStore,
    RetryPolicy,
    StoredMessage,
    write_on_commit,
)
from mdb_sqla.relay import Relay
from tests.relay.conftest import until
from tests.telemetry.spans import Spans, measured

REQUESTED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def api(shop: Any, tracer: Tracer) -> Starlette:
    """An application that takes orders, with a span for each request."""

    def place(request: Request) -> PlainTextResponse:
        with Session(shop.engine) as session:
            placed = Message("Placed", {"total": 120})
            write_on_commit(session, f"{shop.category}-1", placed)
            session.commit()
        return PlainTextResponse("placed")

    async def traced(request: Request, call_next: Any) -> Any:
        context, name = extract(dict(request.headers)), f"{request.method} {request.url.path}"
        token = attach(context)
        try:
            with tracer.start_as_current_span(name, kind=SpanKind.SERVER):
                return await call_next(request)
        finally:
            detach(token)

    return Starlette(
        routes=[Route("/orders", place, methods=["POST"])],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=traced)],
    )


async def post(app: Starlette) -> None:
    async with AsyncClient(transport=ASGITransport(app), base_url="http://shop") as client:
        headers = {"traceparent": REQUESTED, "baggage": "tenant=x"}
        response = await client.post("/orders", headers=headers)
        assert response.status_code == 200


def subscribed(broker: NatsBroker, shop: Any, inbox: Inbox, subject: str) -> list[bool]:
    """Have the broker's messages stored by an inbox; the list grows with each."""
    received: list[bool] = []

    @broker.subscriber(  # type: ignore[untyped-decorator]
        f"{shop.category}{subject}",
        stream=shop.category,
        durable="inbox",
        pull_sub=True,
        ack_policy=AckPolicy.NACK_ON_ERROR,
    )
    async def take(message: NatsMessage) -> None:
        async with shop.factory.begin() as session:
            is_new = await inbox.receive_async(session, message)
        received.append(is_new)

    return received


def caught_up(shop: Any, name: str, category: str, handle: Callable[..., Any]) -> Any:
    consumer = Consumer(name, category)
    consumer.on()(handle)
    return consumer.catch_up_async(shop.factory)


def drawn(spans: Spans, shop: Any) -> str:
    return spans.drawn().replace(shop.category, "order")


def test_from_a_request_to_the_last_handler(
    shop: Any, nats: Any, spans: Spans, tracer: Tracer
) -> None:
    broker = NatsBroker(nats.server.url, logger=None)
    received = subscribed(broker, shop, Inbox(f"{shop.category}:shipping"), ":invoice.Sent")
    last: list[StoredMessage] = []

    async def bill(message: StoredMessage, unit: AsyncUnitOfWork) -> None:
        sent = Message("Sent", {"total": 120}).follow(message)
        unit.write(f"{shop.category}:invoice-1", sent)

    async def ship(message: StoredMessage, unit: AsyncUnitOfWork) -> None:
        with tracer.start_as_current_span("ship"):
            last.append(message)

    async def scenario() -> None:
        await prepare(nats, shop.category)
        await post(api(shop, tracer))
        await caught_up(shop, "billing", shop.category, bill)
        relay = Relay("relay", f"{shop.category}:invoice", to=nats.target())
        await relay.catch_up_async(shop.factory)
        await broker.start()
        await until(lambda: received)
        await broker.stop()
        await caught_up(shop, "shipping", f"{shop.category}:shipping", ship)

    shop.run(scenario())

    assert drawn(spans, shop) == (
        "POST /orders\n"
        "  send order\n"
        "    process order by billing\n"
        "      send order:invoice\n"
        "        process order:invoice by relay\n"
        "          publish order:invoice.Sent in nats\n"
        "            receive order:shipping\n"
        "              process order:shipping by shipping\n"
        "                ship"
    )
    (trace_id,) = spans.trace_ids()
    assert f"{trace_id:032x}" in REQUESTED
    assert last[0].metadata["properties"]["baggage"] == "tenant=x"


async def prepare(nats: Any, category: str) -> None:
    """Have the broker keep what is published for the category of invoices, too."""
    import nats as client_of_nats

    client = await client_of_nats.connect(nats.server.url)
    stream = client.jetstream()
    config = (await stream.stream_info(category)).config
    config.subjects = [f"{category}.>", f"{category}:invoice.>"]
    await stream.update_stream(config)
    await client.close()


def test_with_the_middleware_of_the_broker(
    shop: Any, nats: Any, spans: Spans, tracer: Tracer
) -> None:
    """Its span, which is the current one, is the parent; there is a link to the sender's."""
    middleware = NatsTelemetryMiddleware(tracer_provider=trace.get_tracer_provider())
    broker = NatsBroker(nats.server.url, logger=None, middlewares=[middleware])
    received = subscribed(broker, shop, Inbox(f"{shop.category}:shipping"), ".T")

    async def scenario() -> None:
        with tracer.start_as_current_span("request"):
            shop.write(1, 7)
        await shop.relay(nats).catch_up_async(shop.factory)
        await broker.start()
        await until(lambda: received)
        await broker.stop()

    shop.run(scenario())

    assert drawn(spans, shop) == (
        "request\n"
        "  send order\n"
        "    process order by relay\n"
        "      publish order.T in nats\n"
        "        order.T process in nats\n"
        "          receive order:shipping"
    )
    (link,) = spans.one(f"receive {shop.category}:shipping").links
    published = spans.one(f"publish {shop.category}.T").context
    assert published is not None
    assert link.context.span_id == published.span_id


def test_what_a_relay_publishes(shop: Any, receiving: Any, spans: Spans) -> None:
    shop.write(1, 7)
    shop.run(shop.relay(receiving).catch_up_async(shop.factory))

    (span,) = [span for span in spans.all if span.name.startswith("publish")]
    system = {"confluent": "kafka", "kafka": "kafka"}
    assert span.attributes is not None
    assert span.context is not None
    assert span.name == f"publish {receiving.place}"
    assert span.kind is SpanKind.PRODUCER
    assert span.attributes["messaging.system"] == {
        "FromNats": "nats",
        "FromRabbitMQ": "rabbitmq",
        "FromRedis": "redis",
    }.get(type(receiving).__name__, "kafka")
    assert system
    (told,) = shop.run(receiving.received())
    assert told.headers["traceparent"].split("-")[1:3] == [
        f"{span.context.trace_id:032x}",
        f"{span.context.span_id:016x}",
    ]


def test_a_function_of_the_application_chooses_where(
    shop: Any, nats: Any, spans: Spans, reader: InMemoryMetricReader
) -> None:
    """It may return as many places as there are streams, which are in no name and no metric."""

    def subject(message: StoredMessage) -> str:
        return f"{shop.category}.{message.stream_name}"

    for number in range(20):
        shop.write(number, number)
    shop.run(shop.relay(nats, target={"subject": subject}).catch_up_async(shop.factory))

    published = [span for span in spans.all if span.name == "publish"]
    places = {(span.attributes or {})["messaging.destination.name"] for span in published}
    assert len(places) == 20
    sent = measured(reader)["messaging.client.sent.messages"]
    assert sent[("operation.name", "publish"), ("system", "nats")] == 20


def test_a_publication_that_is_refused(shop: Any, nats: Any, spans: Spans) -> None:
    shop.write(1, Message("bad subject", 1))
    relay = shop.relay(nats, retry_policy=RetryPolicy(max_attempts=1))
    with pytest.raises(HandlerFailed):
        shop.run(relay.catch_up_async(shop.factory))

    publish, *_ = [span for span in spans.all if span.name.startswith("publish")]
    assert publish.status.status_code is StatusCode.ERROR
    assert (publish.attributes or {})["error.type"] == "mdb_sqla.errors.BrokerRejected"


def test_duplicates_are_no_errors(shop: Any, nats: Any, spans: Spans) -> None:
    """The next attempt has another trace, as where the sender repeats it."""
    from tests.relay.test_inbox import received

    inbox = Inbox("shipping")
    for parent in (REQUESTED, REQUESTED.replace("-b7", "-a0")):
        with Session(shop.engine) as session:
            inbox.receive(session, received(message_id="7", ce_source="/x", traceparent=parent))
            session.commit()

    first, second = spans.all
    assert first.name == second.name == "receive shipping"
    assert first.kind is SpanKind.CONSUMER
    assert second.status.status_code is StatusCode.UNSET
    assert first.attributes is not None
    assert second.attributes is not None
    assert "messaging.mdb_sqla.message.duplicate" not in first.attributes
    assert second.attributes["messaging.mdb_sqla.message.duplicate"] is True
    with Session(shop.engine) as session:
        (stored,) = MessageStore(session).read_category("shipping")
    assert first.context is not None
    assert f"{first.context.span_id:016x}" in stored.metadata["properties"]["traceparent"]


def test_a_connection_belongs_to_no_message(
    shop: Any, nats: Any, spans: Spans, tracer: Tracer
) -> None:
    """The tasks of a client live longer than the message that connects first."""
    target, connected = nats.target(), []
    connect = target.connect

    async def noted(timeout: float) -> None:
        connected.append(trace.get_current_span().get_span_context().is_valid)
        await connect(timeout)

    target.connect = noted

    async def scenario() -> None:
        await prepare(nats, shop.category)
        shop.write("1", "a", "b")
        await Relay("relay", shop.category, to=target).catch_up_async(shop.factory)

    shop.run(scenario())

    assert connected == [False]
    assert len([span for span in spans.all if span.name.startswith("publish")]) == 2
