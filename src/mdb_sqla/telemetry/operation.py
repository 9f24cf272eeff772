"""An operation on messages: a span, its duration, and the number of messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mdb_sqla.telemetry.attributes import (
    CONSUMER,
    DESTINATION,
    ERROR_TYPE,
    MDB_SQLA,
    MESSAGE_COUNT,
    OPERATION_NAME,
    OPERATION_TYPE,
    SYSTEM,
    error_type,
)
from mdb_sqla.telemetry.instrumentation import Instrumentation
from mdb_sqla.telemetry.operation_kinds import OperationKind

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

__all__ = ["NOT_RECORDED", "NotRecorded", "Operation"]


class NotRecorded:
    """A context manager in place of an operation, if nothing records it."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


NOT_RECORDED = NotRecorded()


class Operation:
    """A context manager that records an operation. Its span is the current one in the block.

    An error that leaves the block is recorded, and raised again.

    Args:
        instrumentation: what records.
        kind: the kind of operation.
        numbers: the number of messages by destination, of which there must be few; an empty one
            is left out.
        system: the messaging system.
        consumer: the consumer's name, if any.
        parent: the context whose span is the parent; by default the current one.
        links: the contexts whose spans the span links to.
        attributes: more attributes of the span.

    Attributes:
        context: the context with the span; None if spans are not recorded.
        span: the span; None if spans are not recorded.
    """

    def __init__(
        self,
        instrumentation: Instrumentation,
        kind: OperationKind,
        numbers: Mapping[str, int],
        *,
        system: str = MDB_SQLA,
        consumer: str | None = None,
        parent: Context | None = None,
        links: Sequence[Context] = (),
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        self.context: Context | None = None
        self.span: Span | None = None
        self._instrumentation = instrumentation
        self._kind = kind
        self._numbers = numbers
        self._system = system
        self._consumer = consumer
        self._parent = parent
        self._links = links
        self._attributes = attributes or {}

    def __enter__(self) -> Self:
        if self._instrumentation.tracer is not None:
            self._start_span(self._instrumentation.tracer)
        self._started = perf_counter()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        seconds = perf_counter() - self._started
        try:
            if (instruments := self._instrumentation.instruments) is not None:
                # Before the span ends: exemplars refer to it.
                instruments.measure(
                    self._kind,
                    seconds,
                    self._numbers,
                    system=self._system,
                    consumer=self._consumer,
                    error=error,
                )
        finally:
            if self.span is not None:
                self._end_span(self.span, error)

    def _start_span(self, tracer: Tracer) -> None:
        from opentelemetry.context import attach
        from opentelemetry.trace import Link, SpanKind, get_current_span, set_span_in_context

        kind, number = self._kind, sum(self._numbers.values())
        attributes = {
            SYSTEM: self._system,
            OPERATION_NAME: kind.name,
            OPERATION_TYPE: kind.type,
            **self._attributes,
        }
        if self._consumer is not None:
            attributes[CONSUMER] = self._consumer
        if number != 1:
            attributes[MESSAGE_COUNT] = number
        # The destination of a batch is that of all its messages.
        destination = next(iter(self._numbers)) if len(self._numbers) == 1 else ""
        if destination:
            attributes[DESTINATION] = destination
        spans = [get_current_span(context).get_span_context() for context in self._links]
        self.span = tracer.start_span(
            f"{kind.name} {destination}".rstrip(),
            self._parent,
            SpanKind[kind.span_kind],
            attributes,
            [Link(span) for span in spans if span.is_valid],
        )
        self.context = set_span_in_context(self.span, self._parent)
        self._token = attach(self.context)

    def _end_span(self, span: Span, error: BaseException | None) -> None:
        from opentelemetry.context import detach

        try:
            if error is not None:
                _record(span, error)
        finally:
            detach(self._token)
            span.end()


def _record(span: Span, error: BaseException) -> None:
    from opentelemetry.trace import StatusCode

    name = error_type(error)
    span.set_attribute(ERROR_TYPE, name)
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:
        # The application's error, not the failure to describe it, must reach the caller.
        span.set_status(StatusCode.ERROR, name)
        return
    span.record_exception(error)
    span.set_status(StatusCode.ERROR, text)
