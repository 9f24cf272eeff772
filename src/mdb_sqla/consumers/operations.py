"""What a consumer's loop asks a driver for."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy.orm import Session

from mdb_sqla.consumers.handlers import Handler
from mdb_sqla.errors import HandlerFailed, InvalidArgument
from mdb_sqla.words.message import StoredMessage

__all__ = [
    "Conflicted",
    "CutOff",
    "Deliver",
    "Failure",
    "Forgotten",
    "Handle",
    "Interrupted",
    "NoTransaction",
    "Pause",
    "Step",
    "Steps",
    "Transact",
    "Unconfirmed",
]


@dataclass(frozen=True, slots=True)
class Transact:
    """Call a function of our own in a transaction at READ COMMITTED; sent is what it returns."""

    work: Callable[[Session], Any]


@dataclass(slots=True)
class Handle:
    """Call handlers in a unit of work, then a function of our own; sent is what that returns.

    `isolation_level` is that of the transaction; None for the engine's own. `current` is the
    message whose handler is called, or was called last.
    """

    calls: Sequence[tuple[Handler, StoredMessage]]
    finish: Callable[[Session], Any]
    isolation_level: str | None = None
    current: StoredMessage | None = None


class Failure(NamedTuple):
    """A message that could not be handled, and how often that was tried."""

    message: StoredMessage
    error: BaseException
    attempts: int

    @classmethod
    def of(cls, failure: HandlerFailed) -> Failure:
        """Return what a consumer without messages in flight has to tell of it."""
        return cls(failure.message, failure.__cause__ or failure, failure.attempts)


@dataclass(slots=True)
class Deliver:
    """Call handlers side by side, then a function of our own in a transaction; sent as above.

    Those of one cardinal id are called one after another. `done` gets the ids of what was handled,
    and what it has is not handled again. Where some fail, the others are waited for,
    and `current` is the first that failed; `failures` has all, by global position.
    """

    calls: Sequence[tuple[Handler, StoredMessage]]
    finish: Callable[[Session], Any]
    done: set[UUID]
    failures: dict[int, Failure] = field(default_factory=dict)
    current: StoredMessage | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait, unless the consumer is woken; sent is whether it was."""

    seconds: float


class Interrupted(Exception):
    """The database can't do at the moment what was asked, which will pass; see `is_transient`."""


class CutOff(Interrupted):
    """The same, after a handler had been called, which may be what has brought it about."""


class Conflicted(Interrupted):
    """PostgreSQL asks to run the transaction again in which a handler had been called."""


class Unconfirmed(Interrupted):
    """The database is not in the state that the consumer has in memory.

    An older state of it is back, or somebody has changed the consumer's position.
    """


class Forgotten(Unconfirmed):
    """The last message that was read is not in the database any more, and its position is saved.

    Most often it was deleted, which is nothing to worry about.
    """


class NoTransaction(InvalidArgument):
    """Handlers have no transaction to work in: that is no failure of theirs."""


Step = Transact | Handle | Deliver | Pause
Steps = Generator[Step, Any, None]
