"""The gauges of a whole store, for an application's meter provider or an exporter."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from mdb_sqla.database.error_translation import translated
from mdb_sqla.log_event import log_event
from mdb_sqla.metrics import gauges
from mdb_sqla.metrics.adaptive_limit import AdaptiveLimit
from mdb_sqla.metrics.background_query import TIMEOUT, QueryCache, in_thread
from mdb_sqla.metrics.gauges import Sample
from mdb_sqla.metrics.instruments import instruments_of
from mdb_sqla.metrics.store_measurement import measure
from mdb_sqla.words.argument_checks import instance

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider

__all__ = ["StoreGauges", "StoreReport", "observe_store"]

_log = logging.getLogger("mdb_sqla.metrics")

_EXAMINED, _MIN_EXAMINED, _MAX_EXAMINED = 100_000, 2_000, 300_000
"""The number of messages to examine for the lags of all consumers."""
_FAST, _SLOW = 0.3, 1.0  # seconds for all queries, after which more or less is examined

_UNANSWERED = f"The database did not answer within {TIMEOUT:g} seconds"


@dataclass(frozen=True)
class StoreReport:
    """The samples of a store, and the reason why the database did not return all of them."""

    samples: Sequence[Sample]
    problem: str | None = None


def observe_store(engine: Engine, meter_provider: MeterProvider | None = None) -> None:
    """Add the gauges of a whole store to OpenTelemetry's metrics.

    Whenever metrics are collected, but at most once a second, the gauges are queried in a
    read-only transaction, over a connection of the engine, from a background thread. If the
    database does not answer within five seconds, `mdb_sqla.store.up` is 0, and there are no other
    gauges.

    One process is enough: the gauges describe the store, not the process.

    Args:
        engine: an engine of the database. Its role needs only a reader's privileges.
        meter_provider: the provider of OpenTelemetry's SDK to add the gauges to; by default the
            global one, even if it is set later.

    Raises:
        InvalidArgument: `engine` is not an `Engine`; for an `AsyncEngine`, create another one.
        MetricsUnavailable: OpenTelemetry is not installed.
    """
    source = StoreGauges(instance("engine", engine, Engine))
    instruments_of(meter_provider).add(source)


class StoreGauges:
    """Queries the gauges of a store.

    Args:
        engine: an engine of the database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine.execution_options(
            # Overrides AUTOCOMMIT: the settings of the query must end with its transaction.
            isolation_level="READ COMMITTED",
            postgresql_readonly=True,
        )
        self._examined = AdaptiveLimit(
            _EXAMINED, least=_MIN_EXAMINED, most=_MAX_EXAMINED, fast=_FAST, slow=_SLOW
        )
        self._cache = QueryCache(self._start)
        self._problem: str | None = None

    def __call__(self) -> Sequence[Sample]:
        """Return the samples."""
        return self.report().samples

    def report(self) -> StoreReport:
        """Query the store, or return what was queried less than a second ago."""
        result = self._cache.get()
        if result.done() and not result.cancelled():
            report = result.result()
        else:
            report = _failed(_UNANSWERED)
        self._log_change(report.problem)
        return report

    def close(self) -> None:
        """Let waiting callers return."""
        self._cache.close()

    def _start(self) -> Future[StoreReport]:
        return in_thread(self._query, "mdb_sqla metrics")

    def _query(self) -> StoreReport:
        began = time.monotonic()
        try:
            with translated(), self._engine.connect() as connection:
                samples = measure(connection, began + TIMEOUT, self._examined.value)
        except Exception as error:
            # A scrape must answer whatever is wrong, and report it.
            self._examined.adapt(time.monotonic() - began, failed=True)
            return _failed(str(getattr(error, "orig", None) or error).strip() or repr(error))
        duration = time.monotonic() - began
        self._examined.adapt(duration)
        extra = Sample(gauges.UP, 1), Sample(gauges.COLLECTION_DURATION, duration)
        return StoreReport([*extra, *samples])

    def _log_change(self, problem: str | None) -> None:
        before, self._problem = self._problem, problem
        if problem is not None and before is None:
            log_event(
                _log,
                logging.WARNING,
                "metrics.store_unavailable",
                "The store can't be measured: %s",
                problem,
                reason=problem,
            )
        elif problem is None and before is not None:
            log_event(
                _log, logging.INFO, "metrics.store_available", "The store can be measured again"
            )


def _failed(problem: str) -> StoreReport:
    return StoreReport([Sample(gauges.UP, 0)], problem)
