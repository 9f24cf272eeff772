"""What a consumer's loop asks a driver for."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from mdb_sqla.errors import HandlerFailed
from mdb_sqla.handling import Handler
from mdb_sqla.message import StoredMessage

__all__ = [
    "CutOff",
    "Deliver",
    "Failure",
    "Handle",
    "Interrupted",
    "Pause",
    "Step",
    "Steps",
    "Transact",
]


@dataclass(frozen=True, slots=True)
class Transact:
    """Call a function of our own in a transaction at READ COMMITTED; sent is what it returns."""

    work: Callable[[Session], Any]


@dataclass(slots=True)
class Handle:
    """Call handlers in a unit of work, then a function of our own; sent is what that returns.

    `current` is the message whose handler is called, or was called last.
    """

    calls: Sequence[tuple[Handler, StoredMessage]]
    finish: Callable[[Session], Any]
    current: StoredMessage | None = None


class Failure(NamedTuple):
    """A message that could not be handled, and how often that was tried."""

    message: StoredMessage
    error: BaseException
    tries: int

    @classmethod
    def of(cls, failure: HandlerFailed) -> Failure:
        """Return what a consumer without messages in flight has to tell of it."""
        return cls(failure.message, failure.__cause__ or failure, failure.tries)


@dataclass(slots=True)
class Deliver:
    """Call handlers side by side, then a function of our own in a transaction; sent as above.

    Those of one cardinal id are called one after another. `done` gets the global positions of what
    was handled, and what it has is not handled again. Where some fail, the others are waited for,
    and `current` is the first that failed; `failures` has all, by global position.
    """

    calls: Sequence[tuple[Handler, StoredMessage]]
    finish: Callable[[Session], Any]
    done: set[int]
    failures: dict[int, Failure] = field(default_factory=dict)
    current: StoredMessage | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait, unless the consumer is woken; sent is whether it was."""

    seconds: float


class Interrupted(Exception):
    """The connection was lost, there was none to be had, or PostgreSQL asks to run it again."""


class CutOff(Interrupted):
    """The connection was lost after a handler had been called."""


Step = Transact | Handle | Deliver | Pause
Steps = Generator[Step, Any, None]
