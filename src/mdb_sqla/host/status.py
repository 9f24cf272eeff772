"""The status of a host and its consumers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from mdb_sqla.consumers.consumer import Consumer
from mdb_sqla.consumers.consumer_lag import Lag
from mdb_sqla.host.lag_collection import LagReport

__all__ = ["STATES", "ConsumerStatus", "HostStatus"]

_State = Literal["running", "paused", "stopping", "stopped", "failed"]

STATES: tuple[str, ...] = get_args(_State)
"""The states of a consumer."""


@dataclass(frozen=True)
class ConsumerStatus:
    """The status of a consumer in a host.

    Attributes:
        name: the consumer's name.
        categories: the categories that it reads; empty for all.
        group: how it shares its work with other processes, for display.
        handlers: the name of each handler by message type; `*` stands for all other types.
        state: `stopped` before and after it runs; `stopping` while it finishes its current
            messages.
        error: the error that ended it, if it has `failed`; otherwise None.
        rate: the number of messages handled per second by this process, over the last minute.
        lag: its positions and lag; None if the database did not answer.
        standbys: whether each standby that it reads from is available, by its address; empty if
            there are none.
    """

    name: str
    categories: tuple[str, ...]
    group: str
    handlers: Mapping[str, str]
    state: _State
    error: str | None
    rate: float
    lag: Lag | None
    standbys: Mapping[str, bool]

    @classmethod
    def of(cls, consumer: Consumer, lag: Lag | None, error: Exception | None) -> ConsumerStatus:
        """Return the status of a consumer in this process."""
        return cls(
            name=consumer.name,
            categories=consumer.categories,
            group=consumer.sharing,
            handlers=consumer.handlers.names,
            state=consumer.state if error is None else "failed",
            error=None if error is None else str(error),
            rate=consumer.rate,
            lag=lag,
            standbys=consumer.standbys,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the status as JSON-compatible values."""
        lag = self.lag
        return {
            "name": self.name,
            "categories": list(self.categories),
            "group": self.group,
            "handlers": dict(self.handlers),
            "state": self.state,
            "error": self.error,
            "rate": round(self.rate, 1),
            "positions": None if lag is None else dict(lag.positions),
            "lag": None if lag is None else lag.as_dict(),
            "dead_letters": None if lag is None else lag.dead_letters,
            "standbys": dict(self.standbys),
        }


@dataclass(frozen=True)
class HostStatus:
    """The status of a host.

    Attributes:
        consumers: the status of each consumer, in the host's order.
        problem: why the database did not return their lags; None if it did.
    """

    consumers: tuple[ConsumerStatus, ...]
    problem: str | None

    @classmethod
    def of(
        cls, consumers: Sequence[Consumer], report: LagReport, errors: Mapping[str, Exception]
    ) -> HostStatus:
        """Return the status of consumers in this process.

        Args:
            consumers: the consumers.
            report: their lags.
            errors: the errors that ended some of them, by name.
        """
        lags: Sequence[Lag | None] = report.lags or [None] * len(consumers)
        return cls(
            consumers=tuple(
                ConsumerStatus.of(consumer, lag, errors.get(consumer.name))
                for consumer, lag in zip(consumers, lags, strict=True)
            ),
            problem=report.problem,
        )

    @property
    def is_healthy(self) -> bool:
        """Whether the database answers and every consumer is running or paused."""
        return self.problem is None and all(
            consumer.state in {"running", "paused"} for consumer in self.consumers
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the status as JSON-compatible values."""
        return {
            "healthy": self.is_healthy,
            "problem": self.problem,
            "consumers": [consumer.as_dict() for consumer in self.consumers],
        }
