"""What the measuring points of telemetry cost without an SDK, and what spans cost with one (S15).

A hundredth of a write is less than the variation between two runs. So the points are counted during
a write or a handled message, and timed by themselves.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from time import perf_counter
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session, sessionmaker

from benchmarks.comparison import OURS, Bar, Comparison
from benchmarks.content import DATA, METADATA, TYPE
from benchmarks.server import Server
from benchmarks.size import Size
from mdb_sqla import Consumer, Message, write_on_commit
from mdb_sqla.telemetry import NOT_RECORDED, instrumentation

__all__ = ["handled_with_spans", "measuring_points", "written_with_spans"]

_MOST = 0.01  # of a write or a handled message
_CALLS = 20_000
_WITHOUT = "without an SDK"


def _write(engine: Engine) -> None:
    with Session(engine) as session:
        write_on_commit(session, f"order-{uuid4()}", Message(TYPE, DATA, METADATA))
        session.commit()


def _written(engine: Engine, number: int) -> float:
    """Return the number of writes per second, by the median."""
    return 1 / median(_seconds(lambda: _write(engine)) for _ in range(number))


def _handled(engine: Engine, number: int) -> float:
    """Write messages, and return how many of them a consumer handles per second."""
    for _ in range(number):
        _write(engine)
    consumer = Consumer("telemetry", "order")
    handled: list[object] = []
    consumer.on()(lambda message, unit: handled.append(message))
    consumer.catch_up(sessionmaker(engine))
    handled.clear()
    for _ in range(number):
        _write(engine)
    seconds = _seconds(lambda: consumer.catch_up(sessionmaker(engine)))
    return len(handled) / seconds


def _seconds(work: Callable[[], object]) -> float:
    begin = perf_counter()
    work()
    return perf_counter() - begin


def _points(work: Callable[[], object]) -> int:
    """Return how many measuring points there are on the way."""
    calls: list[None] = []

    def count() -> Any:
        calls.append(None)
        return instrumentation()

    with ExitStack() as stack:
        for name, module in [*sys.modules.items()]:
            if name.startswith("mdb_sqla.") and hasattr(module, "instrumentation"):
                stack.enter_context(patch.object(module, "instrumentation", count))
        work()
    return len(calls)


def _seconds_of_a_point() -> float:
    """Return how long a point takes: the question for an SDK, and an operation that is not one."""

    def ask() -> None:
        for _ in range(_CALLS):
            instrumentation()
            with NOT_RECORDED:
                pass

    assert instrumentation() is None
    return _seconds(ask) / _CALLS


def _of(what: str, points: float, rate: Callable[[], float]) -> Comparison:
    """Compare the rate of the points of an operation with a hundred times that of the operation."""
    return Comparison(
        f"measuring points of {what}",
        "a second",
        {
            OURS: lambda: 1 / (points * _seconds_of_a_point()),
            f"1 % of {what}": lambda: rate() / _MOST,
        },
        [Bar("S15", f"1 % of {what}", 1)],
    )


def measuring_points() -> list[Callable[[Server, Size], Any]]:
    """Return the comparison for a write, and that for a handled message."""

    @contextmanager
    def points_of_a_write(server: Server, size: Size) -> Iterator[Comparison]:
        with _engine(server) as engine:
            points = _points(lambda: _write(engine))
            yield _of("one write", points, lambda: _written(engine, size.writes))

    @contextmanager
    def points_of_a_handled_message(server: Server, size: Size) -> Iterator[Comparison]:
        with _engine(server) as engine:
            number = 100
            for _ in range(number):
                _write(engine)
            consumer = Consumer("points", "order")
            consumer.on()(lambda message, unit: None)
            calls = _points(lambda: consumer.catch_up(sessionmaker(engine)))
            rate = lambda: _handled(engine, size.writes)  # noqa: E731
            yield _of("one handled message", calls / number, rate)

    return [points_of_a_write, points_of_a_handled_message]


@contextmanager
def written_with_spans(server: Server, size: Size) -> Iterator[Comparison]:
    """A write with an SDK."""
    with _engine(server) as engine:
        yield _with_sdk("one write, with an SDK", lambda: _written(engine, size.writes))


@contextmanager
def handled_with_spans(server: Server, size: Size) -> Iterator[Comparison]:
    """A handled message with an SDK."""
    with _engine(server) as engine:
        yield _with_sdk("one handled message, with an SDK", lambda: _handled(engine, size.writes))


def _with_sdk(what: str, side: Callable[[], float]) -> Comparison:
    def recorded() -> float:
        with _sdk():
            return side()

    return Comparison(what, "a second", {OURS: recorded, _WITHOUT: side}, [Bar("", _WITHOUT, 0.8)])


@contextmanager
def _engine(server: Server) -> Iterator[Engine]:
    with server.ours() as url:
        engine = create_engine(url)
        yield engine
        engine.dispose()


class _Nowhere(SpanExporter):
    """Takes what a batch processor exports, which would go over the network."""

    def export(self, spans: object) -> SpanExportResult:
        return SpanExportResult.SUCCESS


@contextmanager
def _sdk() -> Iterator[None]:
    """An SDK that is set up only within the block; the global providers could be set only once."""
    spans, measures = TracerProvider(), MeterProvider([InMemoryMetricReader()])
    spans.add_span_processor(BatchSpanProcessor(_Nowhere()))
    with (
        patch.object(trace, "_TRACER_PROVIDER", spans),
        patch.object(metrics._internal, "_METER_PROVIDER", measures),
    ):
        yield
    spans.shutdown()
    measures.shutdown()
