"""A handler's call is a span, below the span that wrote its message."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import baggage
from opentelemetry.context import attach, detach
from opentelemetry.trace import SpanKind, StatusCode, Tracer
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker

from mdb_sqla import Consumer, HandlerFailed, Message, MessageStore, RetryPolicy, write_on_commit
from tests.telemetry.spans import Spans

TWICE = RetryPolicy(max_attempts=2, initial_interval=0.001, max_interval=0.001)
OLD = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Base(DeclarativeBase):
    pass


class Invoice(Base):
    __tablename__ = "missing"

    id: Mapped[int] = mapped_column(primary_key=True)


class Shop:
    """An application that writes messages and runs consumers."""

    def __init__(self, flavour: Any) -> None:
        self.flavour = flavour
        maker: Any = async_sessionmaker if flavour.asynchronous else sessionmaker
        self.factory = maker(flavour.engine)
        self.engine = create_engine(flavour.engine.url.set(drivername="postgresql+psycopg"))

    def write(self, *pairs: tuple[str, Message]) -> None:
        with self.engine.begin() as connection:
            MessageStore(connection).write_messages(pairs)

    def catch_up(self, consumer: Consumer) -> None:
        if self.flavour.asynchronous:
            self.flavour.run(consumer.catch_up_async(self.factory))
        else:
            consumer.catch_up(self.factory)


@pytest.fixture
def shop(flavour: Any) -> Iterator[Shop]:
    shop = Shop(flavour)
    yield shop
    shop.engine.dispose()


def test_a_chain_of_handlers(shop: Shop, spans: Spans, tracer: Tracer) -> None:
    billing = Consumer("billing", "order")
    mailing = Consumer("mailing", "invoice")

    @billing.on("Placed")
    def bill(message: Any, unit: Any) -> None:
        unit.write("invoice-1", Message("Sent").follow(message))

    @mailing.on("Sent")
    def mail(message: Any, unit: Any) -> None:
        with tracer.start_as_current_span("mail"):
            pass

    with tracer.start_as_current_span("request"):
        shop.write(("order-1", Message("Placed")))
    shop.catch_up(billing)
    shop.catch_up(mailing)

    assert spans.drawn() == (
        "request\n"
        "  send order\n"
        "    process order by billing\n"
        "      send invoice\n"
        "        process invoice by mailing\n"
        "          mail"
    )
    span = spans.one("process order")
    assert span.kind is SpanKind.CONSUMER
    (link,) = span.links
    sent = spans.one("send order").context
    assert sent is not None
    assert (link.context.trace_id, link.context.span_id) == (sent.trace_id, sent.span_id)
    assert span.attributes is not None
    assert span.attributes["messaging.message.id"]
    assert {
        name: value for name, value in span.attributes.items() if name != "messaging.message.id"
    } == {
        "messaging.system": "mdb_sqla",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "order",
        "messaging.consumer.group.name": "billing",
        "messaging.mdb_sqla.message.type": "Placed",
        "messaging.mdb_sqla.message.global_position": 1,
        "messaging.mdb_sqla.stream.name": "order-1",
    }


def test_async_handlers(shop: Shop, spans: Spans, tracer: Tracer) -> None:
    if not shop.flavour.asynchronous:
        pytest.skip("async handlers need an event loop")
    billing = Consumer("billing", "order")

    @billing.on()
    async def bill(message: Any, unit: Any) -> None:
        await unit.session.execute(text("SELECT 1"))
        with tracer.start_as_current_span("bill"):
            await unit.store.write("invoice-1", Message("Sent"))

    shop.write(("order-1", Message("Placed")))
    shop.catch_up(billing)

    assert spans.drawn() == ("send order\n  process order by billing\n    bill\n      send invoice")


def test_messages_in_flight(shop: Shop, spans: Spans, tracer: Tracer) -> None:
    if not shop.flavour.asynchronous:
        pytest.skip("messages in flight need an event loop")
    mailing = Consumer("mailing", "order", max_in_flight=10)

    @mailing.on()
    async def mail(message: Any) -> None:
        with tracer.start_as_current_span(f"mail {message.data}"):
            pass

    for number in range(3):
        with tracer.start_as_current_span(f"request {number}"):
            shop.write((f"order-{number}", Message("Placed", number)))
    shop.catch_up(mailing)

    assert spans.drawn() == "\n".join(
        f"request {n}\n  send order\n    process order by mailing\n      mail {n}" for n in range(3)
    )


def test_several_messages_in_a_transaction(shop: Shop, spans: Spans) -> None:
    """Each has a span of its own, with the parent of its own."""
    billing = Consumer("billing", "order", transaction_size=10)
    billing.on()(lambda message, unit: None)
    for number in range(3):
        shop.write((f"order-{number}", Message("Placed")))
    shop.catch_up(billing)

    assert spans.drawn() == "\n".join(["send order\n  process order by billing"] * 3)


def test_what_only_flushing_reveals(shop: Shop, spans: Spans) -> None:
    billing = Consumer("billing", "order", retry_policy=RetryPolicy(max_attempts=1))

    @billing.on()
    def bill(message: Any, unit: Any) -> None:
        unit.session.add(Invoice(id=1))  # there is no such table

    shop.write(("order-1", Message("Placed")))
    with pytest.raises(HandlerFailed):
        shop.catch_up(billing)

    assert spans.drawn() == "send order\n  process order by billing failed: ProgrammingError"


def test_retries(shop: Shop, spans: Spans) -> None:
    """Each attempt is a span."""
    errors: list[Exception] = [ZeroDivisionError("once")]
    billing = Consumer("billing", "order", retry_policy=TWICE)

    @billing.on()
    def bill(message: Any, unit: Any) -> None:
        if errors:
            raise errors.pop()

    shop.write(("order-1", Message("Placed")))
    shop.catch_up(billing)

    assert spans.drawn() == (
        "send order\n"
        "  process order by billing failed: ZeroDivisionError\n"
        "  process order by billing"
    )
    failed = spans.all[1]
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.status.description == "ZeroDivisionError: once"


def test_a_message_without_a_trace(shop: Shop, spans: Spans, tracer: Tracer) -> None:
    """It is a root, or the child of what runs the consumer."""
    with shop.engine.begin() as connection:
        for metadata in ("NULL", "'7'", "'[]'", """'{"properties": {"traceparent": 7}}'"""):
            connection.exec_driver_sql(
                "SELECT message_store.write_message(gen_random_uuid()::text, 'order-1', 'Placed', "
                f"'{{}}', {metadata}::jsonb)"
            )
    billing = Consumer("billing", "order")
    billing.on()(lambda message, unit: None)
    shop.catch_up(billing)

    assert spans.drawn() == "\n".join(["process order by billing"] * 4)
    assert [span.links for span in spans.all] == [()] * 4


def test_a_consumer_that_runs_in_a_span(shop: Shop, spans: Spans, tracer: Tracer) -> None:
    """The writer's span is still the parent; the other one has a link, and its baggage ends."""
    shop.write(("order-1", Message("Placed")))
    billing = Consumer("billing", "order")
    found: list[object] = []
    billing.on()(lambda message, unit: found.append(baggage.get_baggage("job")))
    with tracer.start_as_current_span("job"):
        token = attach(baggage.set_baggage("job", "nightly"))
        shop.catch_up(billing)
        detach(token)

    assert found == [None]
    assert spans.drawn() == "send order\n  process order by billing\njob"
    links = [link.context.span_id for link in spans.one("process order").links]
    assert links == [
        span.context.span_id for span in (spans.one("send order"), spans.one("job")) if span.context
    ]


def test_baggage_reaches_the_handler_and_what_it_writes(shop: Shop, spans: Spans) -> None:
    found: list[object] = []
    billing = Consumer("billing", "order")

    @billing.on()
    def bill(message: Any, unit: Any) -> None:
        found.append(baggage.get_baggage("tenant"))
        unit.write("invoice-1", Message("Sent"))

    context = {"traceparent": OLD, "baggage": "tenant=x"}
    shop.write(("order-1", Message("Placed", metadata={"properties": context})))
    shop.catch_up(billing)

    assert found == ["x"]
    with shop.engine.connect() as connection:
        sent = MessageStore(connection).last_message("invoice-1")
    assert sent is not None
    assert sent.metadata["properties"]["baggage"] == "tenant=x"
    assert OLD[:36] in sent.metadata["properties"]["traceparent"]


def test_dead_letters_and_their_replay(shop: Shop, spans: Spans) -> None:
    from mdb_sqla.consumers import replay

    broken = [True]
    billing = Consumer("billing", "order", on_failure="dead_letter", retry_policy=TWICE)

    @billing.on()
    def bill(message: Any, unit: Any) -> None:
        if broken:
            raise ZeroDivisionError

    shop.write(("order-1", Message("Placed")))
    shop.catch_up(billing)
    broken.clear()
    with shop.engine.begin() as connection:
        replay(connection, "billing")
    shop.catch_up(billing)

    assert spans.drawn() == (
        "send order\n"
        "  process order by billing failed: ZeroDivisionError\n"
        "  process order by billing failed: ZeroDivisionError\n"
        "  process order by billing"
    )


def test_pending_writes_of_a_session_that_the_handler_opens(shop: Shop, spans: Spans) -> None:
    """The span is that of the thread or task, not of the unit of work."""
    billing = Consumer("billing", "order")
    other = sessionmaker(shop.engine)

    @billing.on()
    def bill(message: Any, unit: Any) -> None:
        with other.begin() as session:
            write_on_commit(session, "invoice-1", Message("Sent"))

    shop.write(("order-1", Message("Placed")))
    shop.catch_up(billing)

    assert spans.drawn() == "send order\n  process order by billing\n    send invoice"
