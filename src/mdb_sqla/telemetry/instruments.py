"""The instruments of the process metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mdb_sqla.telemetry.attributes import (
    CONSUMER,
    DESTINATION,
    ERROR_TYPE,
    MDB_SQLA,
    OPERATION_NAME,
    SERVER,
    SYSTEM,
    error_type,
)
from mdb_sqla.telemetry.operation_kinds import OperationKind

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter

__all__ = ["COUNTERS", "HISTOGRAMS", "Instruments"]

# The boundaries that the conventions recommend, in seconds.
_BOUNDARIES = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)

COUNTERS = {
    "messaging.client.sent.messages": "Messages written to the store or published to a broker.",
    "messaging.client.consumed.messages": "Messages that consumers read or inboxes received.",
    "mdb_sqla.consumer.failed.messages": "Failed attempts to handle a message.",
    "mdb_sqla.consumer.retried.messages": "Messages handled again after a failed attempt.",
    "mdb_sqla.consumer.dead_lettered.messages": "Messages added to the dead-letter queue.",
}
"""The description of each counter, by its name."""

HISTOGRAMS = {
    "messaging.client.operation.duration": "Duration of writes, reads and publications.",
    "messaging.process.duration": "Duration of handler calls and of an inbox's receptions.",
}
"""The description of each histogram, by its name."""


class Instruments:
    """The counters and histograms. Their attributes have few values: never streams, never ids.

    Args:
        meter: creates the instruments.
    """

    def __init__(self, meter: Meter) -> None:
        self._counters = {
            name: meter.create_counter(name, "{message}", description)
            for name, description in COUNTERS.items()
        }
        self._histograms = {
            name: meter.create_histogram(
                name, "s", description, explicit_bucket_boundaries_advisory=_BOUNDARIES
            )
            for name, description in HISTOGRAMS.items()
        }

    def measure(
        self,
        kind: OperationKind,
        seconds: float,
        numbers: Mapping[str, int],
        *,
        system: str = MDB_SQLA,
        consumer: str | None = None,
        server: str | None = None,
        error: BaseException | None = None,
    ) -> None:
        """Record an operation's duration, and count its messages.

        Args:
            kind: the kind of operation.
            seconds: the duration.
            numbers: the number of messages by destination; an empty one is left out.
            system: the messaging system.
            consumer: the consumer's name, if any.
            server: the server that a consumer with standbys has read from.
            error: the error with which the operation failed, if it did.
        """
        attributes = {SYSTEM: system, OPERATION_NAME: kind.name}
        if consumer is not None:
            attributes[CONSUMER] = consumer
        if server is not None:
            attributes[SERVER] = server
        if error is not None:
            attributes[ERROR_TYPE] = error_type(error)
        if kind.counter is not None:
            counter = self._counters[kind.counter]
            for destination, number in numbers.items():
                counter.add(number, _with_destination(attributes, destination))
        # The destination of a batch is that of all its messages.
        destination = next(iter(numbers)) if len(numbers) == 1 else ""
        histogram = self._histograms[kind.duration]
        histogram.record(seconds, _with_destination(attributes, destination))

    def count(
        self,
        counter: str,
        numbers: Mapping[str, int],
        *,
        consumer: str,
        error: BaseException | None = None,
    ) -> None:
        """Count messages of a consumer.

        Args:
            counter: the name of the counter.
            numbers: the number of messages by category.
            consumer: the consumer's name.
            error: the error of these messages, if any.
        """
        attributes = {SYSTEM: MDB_SQLA, CONSUMER: consumer}
        if error is not None:
            attributes[ERROR_TYPE] = error_type(error)
        for category, number in numbers.items():
            self._counters[counter].add(number, _with_destination(attributes, category))


def _with_destination(attributes: dict[str, str], destination: str) -> dict[str, str]:
    return {**attributes, DESTINATION: destination} if destination else attributes
