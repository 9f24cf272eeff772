"""Metrics in Prometheus' text format. Requires the extra `metrics`."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from mdb_sqla.metrics.instruments import missing_packages

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from prometheus_client import Metric
    from prometheus_client.registry import Collector

__all__ = ["Page", "PrometheusText"]

# By default, OpenTelemetry merges all but 2,000 series of a gauge into one with an arbitrary value.
# Consumers that were deleted since the start of the process count, too.
_MAX_SERIES = 1_000_000


class Page(NamedTuple):
    """A response to a scrape.

    Attributes:
        text: the metrics, encoded.
        content_type: the media type that was negotiated.
    """

    text: bytes
    content_type: str


class PrometheusText:
    """Renders the metrics of a meter provider, and those of other collectors.

    Args:
        others: collectors whose metrics are added, unless the meter provider has them as well.
        provider: the meter provider; None for a new one.

    Attributes:
        provider: the meter provider.

    Raises:
        MetricsUnavailable: the extra `metrics` is not installed.
    """

    def __init__(self, *others: Collector, provider: MeterProvider | None = None) -> None:
        try:
            from opentelemetry.exporter.prometheus import PrometheusMetricReader
            from opentelemetry.sdk.metrics import MeterProvider, ObservableGauge
            from prometheus_client import CollectorRegistry
        except ModuleNotFoundError as error:
            raise missing_packages(error) from error
        registry = CollectorRegistry()
        reader = PrometheusMetricReader(
            disable_target_info=True,
            scope_info_enabled=False,
            registry=registry,
            cardinality_limits={ObservableGauge: _MAX_SERIES},
        )
        self.provider = MeterProvider(shutdown_on_exit=False) if provider is None else provider
        self.provider.add_metric_reader(reader)
        self._collectors = registry, *others
        # A reader can't collect twice at a time.
        self._lock = threading.Lock()

    def render(self, accept: str = "") -> Page:
        """Return the current metrics, in the format that the header `Accept` asks for."""
        from prometheus_client.exposition import choose_encoder

        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):
            # It has no version that can be compared.
            encode, content_type = choose_encoder("")
        with self._lock:
            return Page(encode(self), content_type)

    def collect(self) -> Iterator[Metric]:
        """Yield the current metrics. Part of the protocol of Prometheus' registries."""
        names: set[str] = set()
        for collector in self._collectors:
            found = list(_collected(collector))
            yield from (metric for metric in found if metric.name not in names)
            names.update(metric.name for metric in found)


def _collected(collector: Collector) -> Iterable[Metric]:
    return collector.collect()
