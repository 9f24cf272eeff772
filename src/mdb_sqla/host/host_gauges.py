"""The gauges of a host: its consumers' lags, states and rates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from mdb_sqla.errors import MetricsUnavailable
from mdb_sqla.host.status import STATES, ConsumerStatus, HostStatus
from mdb_sqla.metrics import gauges
from mdb_sqla.metrics.gauges import CONSUMER, IN_STATE, SERVER, Sample
from mdb_sqla.metrics.instruments import Instruments, instruments_of

__all__ = ["observed"]


@contextmanager
def observed(status: Callable[[], HostStatus], *, is_served: bool) -> Iterator[None]:
    """Observe the gauges of a host within the block, if OpenTelemetry is installed.

    They are added to the global meter provider and, if they are served at `/metrics` from another
    one, to that.

    Args:
        status: returns the current status.
        is_served: whether the host serves `/metrics`.
    """

    def source() -> list[Sample]:
        return list(_samples(status()))

    found = list(dict.fromkeys(_instruments(is_served)))
    for each in found:
        each.add(source)
    try:
        yield
    finally:
        for each in found:
            each.remove(source)


def _instruments(is_served: bool) -> Iterator[Instruments]:
    with suppress(MetricsUnavailable, ModuleNotFoundError):
        if is_served:
            from mdb_sqla.host.metrics_endpoint import process_metrics

            yield instruments_of(process_metrics().provider)
    with suppress(MetricsUnavailable):
        yield instruments_of(None)


def _samples(status: HostStatus) -> Iterator[Sample]:
    yield Sample(gauges.UP, float(status.problem is None))
    for consumer in status.consumers:
        yield from _of_consumer(consumer)


def _of_consumer(consumer: ConsumerStatus) -> Iterator[Sample]:
    attributes = {CONSUMER: consumer.name}
    for state in STATES:
        is_current = float(state == consumer.state)
        yield Sample(gauges.STATE, is_current, {**attributes, IN_STATE: state})
    yield Sample(gauges.RATE, consumer.rate, attributes)
    for standby, is_available in consumer.standbys.items():
        yield Sample(gauges.STANDBY_AVAILABLE, float(is_available), {**attributes, SERVER: standby})
    if (lag := consumer.lag) is None:
        return
    yield Sample(gauges.LAG, lag.messages, attributes)
    yield Sample(gauges.LAG_TIME, lag.seconds, attributes)
    yield Sample(gauges.DEAD_LETTERS, lag.dead_letters, attributes)
    if lag.position is not None:
        yield Sample(gauges.POSITION, lag.position, attributes)
