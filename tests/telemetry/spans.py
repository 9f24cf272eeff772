"""Spans and metrics that an SDK has recorded, as text and as plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

__all__ = ["Spans", "measured"]

Attributes = tuple[tuple[str, Any], ...]


class Spans:
    """The spans that have ended."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    @property
    def all(self) -> list[ReadableSpan]:
        return sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def clear(self) -> None:
        self._exporter.clear()

    def one(self, name: str) -> ReadableSpan:
        """Return the only span of this name."""
        (found,) = [span for span in self.all if span.name == name]
        return found

    def trace_ids(self) -> set[int]:
        return {span.context.trace_id for span in self.all if span.context}

    def drawn(self) -> str:
        """Draw the traces: a line for each span, with its consumer and error, below its parent."""
        return "\n".join(self._lines(None, 0))

    def _lines(self, parent: int | None, depth: int) -> Iterator[str]:
        known = {span.context.span_id for span in self.all if span.context}
        for span in self.all:
            above = span.parent.span_id if span.parent else None
            if (above if above in known else None) == parent:
                yield "  " * depth + _line(span)
                assert span.context is not None
                yield from self._lines(span.context.span_id, depth + 1)


def _line(span: ReadableSpan) -> str:
    attributes = span.attributes or {}
    consumer = attributes.get("messaging.consumer.group.name")
    system = attributes.get("messaging.system", "mdb_sqla")
    error = attributes.get("error.type")
    return (
        span.name
        + (f" by {consumer}" if consumer else "")
        + (f" in {system}" if system != "mdb_sqla" else "")
        + (f" failed: {str(error).rpartition('.')[2]}" if error else "")
    )


def measured(reader: InMemoryMetricReader) -> Mapping[str, Mapping[Attributes, int]]:
    """Return what each metric has counted, by its attributes without `messaging.`."""
    data = reader.get_metrics_data()
    counts: dict[str, dict[Attributes, int]] = {}
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            assert scope.scope.name == "mdb_sqla"
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    attributes = {
                        name.removeprefix("messaging."): value
                        for name, value in (point.attributes or {}).items()
                    }
                    point_: Any = point
                    number = point_.value if hasattr(point, "value") else point_.count
                    counts.setdefault(metric.name, {})[tuple(sorted(attributes.items()))] = number
    return counts
