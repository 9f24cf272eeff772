"""The gauges as OpenTelemetry instruments."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from mdb_sqla.errors import MetricsUnavailable
from mdb_sqla.metrics.gauges import GAUGES, Gauge, Sample

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation

__all__ = ["Instruments", "Source", "instruments_of", "missing_packages"]

Source = Callable[[], Iterable[Sample]]
"""Returns samples. It must not raise."""


class Instruments:
    """The instruments of a meter provider, which observe the samples of any number of sources.

    They are created once: OpenTelemetry can't remove an instrument, nor a callback of it.

    Args:
        meter: creates the instruments.
    """

    def __init__(self, meter: Meter) -> None:
        self._sources: tuple[Source, ...] = ()
        for gauge in GAUGES:
            meter.create_observable_gauge(
                gauge.name,
                [partial(self._observe, gauge)],
                unit=gauge.unit,
                description=gauge.description,
            )

    def add(self, source: Source) -> None:
        """Observe the samples of a source from now on."""
        self._sources = (*self._sources, source)

    def remove(self, source: Source) -> None:
        """No longer observe the samples of a source."""
        self._sources = tuple(each for each in self._sources if each is not source)

    def _observe(self, gauge: Gauge, _: CallbackOptions) -> Iterable[Observation]:
        from opentelemetry.metrics import Observation

        # A host and an observer of the whole store have the same gauges of a consumer.
        found: dict[tuple[str, ...], Sample] = {}
        for source in self._sources:
            for sample in source():
                if sample.gauge is gauge:
                    found[tuple(sample.attributes[name] for name in gauge.attributes)] = sample
        return [Observation(each.value, each.attributes) for each in found.values()]


_of_provider: WeakKeyDictionary[MeterProvider, Instruments] = WeakKeyDictionary()
_of_global_provider: list[Instruments] = []
_lock = threading.Lock()


def instruments_of(provider: MeterProvider | None) -> Instruments:
    """Return the instruments of a meter provider; None stands for the global one, now or later.

    Raises:
        MetricsUnavailable: OpenTelemetry is not installed.
    """
    try:
        from opentelemetry import metrics
    except ModuleNotFoundError as error:
        raise missing_packages(error) from error
    scope, release = "mdb_sqla", version("mdb_sqla")
    with _lock:
        if provider is None or provider is metrics.get_meter_provider():
            if not _of_global_provider:
                _of_global_provider.append(Instruments(metrics.get_meter(scope, release)))
            return _of_global_provider[0]
        if provider not in _of_provider:
            _of_provider[provider] = Instruments(provider.get_meter(scope, release))
        return _of_provider[provider]


def missing_packages(error: ModuleNotFoundError) -> MetricsUnavailable:
    """Return the error for a package that is not installed."""
    return MetricsUnavailable(
        f'Metrics require the extra "metrics": pip install "mdb_sqla[metrics]" ({error})'
    )
