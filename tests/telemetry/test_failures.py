"""Whatever fails, each span ends, no context stays, and the application sees its own error."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.context import get_current
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode, Tracer
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import Consumer, HandlerFailed, Message, MessageStore, RetryPolicy, write_on_commit
from mdb_sqla.telemetry import PROCESS, Operation, extracted, instrumentation
from mdb_sqla.telemetry.instruments import Instruments
from tests.telemetry.spans import Spans

ONCE = RetryPolicy(max_attempts=1)
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


@pytest.fixture(autouse=True)
def no_context_stays() -> Iterator[None]:
    before = get_current()
    yield
    assert get_current() == before


def write(engine: Engine, *pairs: tuple[str, Message]) -> None:
    with engine.begin() as connection:
        MessageStore(connection).write_messages(pairs)


def test_an_error_that_has_no_text(engine: Engine, spans: Spans) -> None:
    write(engine, ("order-1", Message("Placed")))
    billing = Consumer("billing", "order", retry_policy=ONCE, on_failure="dead_letter")

    @billing.on()
    def bill(message: Any, unit: Any) -> None:
        raise Unprintable

    billing.catch_up(sessionmaker(engine))

    span = spans.one("process order")
    assert span.attributes is not None
    assert str(span.attributes["error.type"]).endswith("test_failures.Unprintable")
    assert span.status.status_code is StatusCode.ERROR
    with engine.connect() as connection:
        error = connection.scalar(text("SELECT error FROM message_store.dead_letters"))
    assert "Unprintable" in str(error)


@pytest.mark.parametrize("error", [ValueError("own"), Unprintable(), KeyboardInterrupt()])
def test_the_error_of_the_block_is_raised(spans: Spans, error: BaseException) -> None:
    found = instrumentation()
    assert found is not None
    with pytest.raises(type(error)) as caught, Operation(found, PROCESS, {"order": 1}):
        raise error

    assert caught.value is error
    assert len(spans.all) == 1


def test_an_instrument_that_fails(
    spans: Spans, reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Instruments, "measure", fail)
    found = instrumentation()
    assert found is not None
    with pytest.raises(ZeroDivisionError), Operation(found, PROCESS, {"order": 1}):
        pass

    assert [span.name for span in spans.all] == ["process order"]


class Failing(SpanExporter):
    def export(self, spans: Any) -> SpanExportResult:
        raise OSError("the collector is down")


def test_an_exporter_that_fails(engine: Engine, spans: Spans) -> None:
    provider: Any = trace.get_tracer_provider()
    provider.add_span_processor(SimpleSpanProcessor(Failing()))
    write(engine, ("order-1", Message("Placed")))
    handled: list[Any] = []
    billing = Consumer("billing", "order", retry_policy=ONCE)
    billing.on()(lambda message, unit: handled.append(message))
    billing.catch_up(sessionmaker(engine))

    assert len(handled) == 1
    assert spans.drawn() == "send order\n  process order by billing"


def test_nothing_is_sampled(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trace is passed on nevertheless, so that nobody else records a part of it."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", TracerProvider(sampler=ALWAYS_OFF))
    write(engine, ("order-1", Message("Placed")))
    flags: list[Any] = []
    billing = Consumer("billing", "order", retry_policy=ONCE)

    @billing.on()
    def bill(message: Any, unit: Any) -> None:
        flags.append(trace.get_current_span().get_span_context().trace_flags.sampled)
        flags.append(int(message.metadata["properties"]["traceparent"][-2:], 16) & 1)
        raise Unprintable

    with pytest.raises(HandlerFailed):
        billing.catch_up(sessionmaker(engine))
    assert flags == [False, 0]


def test_an_sdk_that_comes_and_goes(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """While a consumer runs, and even while a handler does."""
    spans = request.getfixturevalue("spans")
    provider = trace.get_tracer_provider()
    write(engine, *((f"order-{number}", Message("Placed", number)) for number in range(4)))
    sent = len(spans.all)
    billing = Consumer("billing", "order", retry_policy=ONCE)

    @billing.on()
    def bill(message: Any, unit: Any) -> None:
        unit.write("invoice-1", Message("Sent"))
        monkeypatch.setattr(trace, "_TRACER_PROVIDER", None if message.data % 2 == 0 else provider)

    billing.catch_up(sessionmaker(engine))
    names = [span.name for span in spans.all[sent:]]
    # Recorded until the span in which it was turned off, which still ends.
    assert names.count("process order") == 2
    with engine.connect() as connection:
        invoices = MessageStore(connection).read_category("invoice")
    assert len(invoices) == 4
    assert get_current() == {}


def test_a_savepoint_that_is_rolled_back(engine: Engine, spans: Spans, tracer: Tracer) -> None:
    """What is written has the span in which it was added; what is dropped leaves no span."""
    with Session(engine) as session:
        with tracer.start_as_current_span("kept"):
            write_on_commit(session, "order-1", Message("A"))
        with tracer.start_as_current_span("dropped"), session.begin_nested() as savepoint:
            write_on_commit(session, "order-2", Message("B"))
            savepoint.rollback()
        with tracer.start_as_current_span("nested"), session.begin_nested():
            write_on_commit(session, "order-3", Message("C"))
        session.commit()

    assert spans.drawn() == "kept\n  send order\ndropped\nnested\n  send order"
    with engine.connect() as connection:
        assert len(MessageStore(connection).read_category("order")) == 2


def test_messages_in_flight_keep_their_contexts_apart(engine: Engine, spans: Spans) -> None:
    """Also where handlers overlap, fail, and write on their own."""
    number = 20
    for each in range(number):
        write(engine, (f"order-{each}", Message("Placed", each)))
    sent = {
        (span.attributes or {})["messaging.mdb_sqla.stream.name"]: span.context.trace_id
        for span in spans.all
        if span.context
    }
    waiting = asyncio.Event()
    entered: list[int] = []
    seen: dict[str, set[int]] = {}
    mailing = Consumer(
        "mailing", "order", max_in_flight=number, on_failure="dead_letter", retry_policy=ONCE
    )

    @mailing.on()
    async def mail(message: Any) -> None:
        def look() -> None:
            found = trace.get_current_span().get_span_context().trace_id
            seen.setdefault(message.stream_name, set()).add(found)

        look()
        entered.append(message.data)
        if len(entered) == number:
            waiting.set()
        await waiting.wait()
        look()
        await asyncio.create_task(asyncio.sleep(0))
        look()
        if message.data % 3 == 0:
            raise ValueError(message.data)

    async def catch_up() -> None:
        async_engine = create_async_engine(engine.url)
        async with asyncio.timeout(60):
            await mailing.catch_up_async(async_sessionmaker(async_engine))
        assert not trace.get_current_span().get_span_context().is_valid
        await async_engine.dispose()

    asyncio.run(catch_up())

    assert seen == {name: {trace_id} for name, trace_id in sent.items()}
    handled = [span for span in spans.all if span.name == "process order"]
    assert len(handled) == number
    assert {span.context.trace_id for span in handled if span.context} == set(sent.values())


def test_a_consumer_that_is_cancelled(engine: Engine, spans: Spans) -> None:
    write(engine, ("order-1", Message("Placed")))
    handling = asyncio.Event()
    billing = Consumer("billing", "order")

    @billing.on()
    async def bill(message: Any, unit: Any) -> None:
        handling.set()
        await asyncio.Event().wait()

    async def scenario() -> None:
        async_engine = create_async_engine(engine.url)
        task = asyncio.create_task(billing.run_async(async_sessionmaker(async_engine)))
        async with asyncio.timeout(60):
            await handling.wait()
            task.cancel()
            await asyncio.wait({task})
        await async_engine.dispose()

    asyncio.run(scenario())
    assert spans.drawn() == "send order\n  process order by billing failed: CancelledError"


@pytest.mark.parametrize(
    "value",
    ["", " ", "00", "-", "00-0-0-0", PARENT.upper(), PARENT[:-1], f"{PARENT}-", "ff" + PARENT[2:],
     "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "é" * 55, "\ud800" * 55, "x" * 100_000,
     PARENT.replace("0af7", "0ag7")],
)  # fmt: skip
def test_malformed_contexts_of_other_clients(value: str) -> None:
    """They neither raise nor make a trace."""
    for carrier in (
        {"traceparent": value},
        {"traceparent": value, "tracestate": value, "baggage": value},
    ):
        assert extracted(carrier) is None


@pytest.mark.parametrize("value", ["", "=", "a=%zz,=1,;", "é=1", "a=" + "x" * 100_000])
def test_malformed_baggage_and_state(engine: Engine, spans: Spans, value: str) -> None:
    """The trace is followed, the message handled, and what it writes is written."""
    carrier = {"traceparent": PARENT, "tracestate": value, "baggage": value}
    assert extracted(carrier) is not None
    write(engine, ("order-1", Message("Placed", metadata={"properties": carrier})))
    billing = Consumer("billing", "order", retry_policy=ONCE)
    billing.on()(lambda message, unit: unit.write("invoice-1", Message("Sent").follow(message)))
    billing.catch_up(sessionmaker(engine))

    with engine.connect() as connection:
        sent = MessageStore(connection).last_message("invoice-1")
    assert sent is not None
    assert PARENT[:36] in sent.metadata["properties"]["traceparent"]


def test_no_span_is_left_open(
    engine: Engine, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many end as begin, in retries, dead letters, batches and refused writes."""
    started: list[ReadableSpan] = []
    provider: Any = trace.get_tracer_provider()
    processor = SimpleSpanProcessor(Failing())
    monkeypatch.setattr(processor, "on_start", lambda span, **_: started.append(span))
    provider.add_span_processor(processor)
    few = RetryPolicy(max_attempts=3, initial_interval=0.001, max_interval=0.001)
    billing = Consumer(
        "billing", "order", retry_policy=few, on_failure="dead_letter", transaction_size=10
    )

    @billing.on()
    def bill(message: Any, unit: Any) -> None:
        if message.data % 4 == 0:
            raise ValueError
        unit.write("invoice-1", Message("Sent"), expected_version=None)

    write(engine, *((f"order-{number % 6}", Message("Placed", number)) for number in range(12)))
    billing.catch_up(sessionmaker(engine))

    assert len(started) > 15
    assert len(spans.all) == len(started)
