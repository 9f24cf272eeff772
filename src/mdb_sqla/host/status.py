"""What the consumers of a host are doing, and how far they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mdb_sqla.consumers.consumer import Consumer
from mdb_sqla.consumers.consumer_lag import Lag

__all__ = ["ConsumerStatus", "HostStatus"]


@dataclass(frozen=True)
class ConsumerStatus:
    """What a consumer of a host is doing, and how far it is.

    Attributes:
        name: under which its position is kept.
        categories: what it reads; nothing stands for all categories.
        group: how it shares its work with others of its name, in words.
        handlers: the name of each handler by the type that it handles; `*` stands for all others.
        state: `stopped` before it runs and after; `stopping` while it finishes what is in hand.
        error: what has ended it, if it has `failed`.
        rate: how many messages it has handled in a second, over the last minute, in this process.
        lag: how far it is; None where the database did not tell.
    """

    name: str
    categories: tuple[str, ...]
    group: str
    handlers: Mapping[str, str]
    state: Literal["running", "paused", "stopping", "stopped", "failed"]
    error: str | None
    rate: float
    lag: Lag | None

    @classmethod
    def of(cls, consumer: Consumer, lag: Lag | None, error: Exception | None) -> ConsumerStatus:
        """Return that of a consumer which is in this process."""
        return cls(
            name=consumer.name,
            categories=consumer.categories,
            group=consumer.sharing,
            handlers=consumer.handlers.names,
            state=consumer.state if error is None else "failed",
            error=None if error is None else str(error),
            rate=consumer.rate,
            lag=lag,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
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
        }


@dataclass(frozen=True)
class HostStatus:
    """What the consumers of a host are doing, and how far they are.

    Attributes:
        consumers: a status for each, in the host's order.
        problem: why the database did not tell how far they are; None where it did.
    """

    consumers: tuple[ConsumerStatus, ...]
    problem: str | None

    @property
    def is_healthy(self) -> bool:
        """Whether the database answers and every consumer runs, or is paused, as it was told."""
        return self.problem is None and all(
            consumer.state in {"running", "paused"} for consumer in self.consumers
        )

    def as_dict(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        return {
            "healthy": self.is_healthy,
            "problem": self.problem,
            "consumers": [consumer.as_dict() for consumer in self.consumers],
        }
