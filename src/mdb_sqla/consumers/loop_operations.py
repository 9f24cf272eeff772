"""Operations that a consumer's loop yields to a runner."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

from mdb_sqla.consumers.handlers import Handler
from mdb_sqla.errors import HandlerFailed, InvalidArgument
from mdb_sqla.words.message import StoredMessage

if TYPE_CHECKING:
    from mdb_sqla.consumers.settings import Settings

__all__ = [
    "AnchorDeleted",
    "AnchorMissing",
    "ConnectionLost",
    "Deliver",
    "Failure",
    "Handle",
    "HandlerConflict",
    "Interrupted",
    "NoTransaction",
    "OnStandby",
    "Operation",
    "Pause",
    "Routine",
    "StateMismatch",
    "Transact",
    "handler_operation",
]


@dataclass(frozen=True, slots=True)
class Transact:
    """Call a function of ours in a transaction at READ COMMITTED; its result is sent back."""

    work: Callable[[Session], Any]


@dataclass(frozen=True, slots=True)
class OnStandby:
    """Call a function of ours in a transaction at READ COMMITTED on a standby.

    Its result is sent back.
    """

    engine: Engine
    work: Callable[[Connection], Any]


@dataclass(slots=True)
class Handle:
    """Call handlers in a unit of work, then a function of ours, whose result is sent back.

    `consumer` is the consumer's name. `isolation_level` is that of the transaction; None for that
    of the engine. `current` is the message whose handler is being called, or was called last.
    """

    consumer: str
    calls: Sequence[tuple[Handler, StoredMessage]]
    finish: Callable[[Session], Any]
    isolation_level: str | None = None
    current: StoredMessage | None = None


class Failure(NamedTuple):
    """A message that could not be handled, its error and the number of attempts."""

    message: StoredMessage
    error: BaseException
    attempts: int

    @classmethod
    def of(cls, failure: HandlerFailed) -> Failure:
        """Return the failure for a consumer without messages in flight."""
        return cls(failure.message, failure.__cause__ or failure, failure.attempts)


@dataclass(slots=True)
class Deliver:
    """Call handlers concurrently, then a function of ours in a transaction.

    The handlers of one cardinal id are called in order. `done` collects the ids of handled
    messages; messages that are already in it are skipped. If some handlers fail, the others are
    completed first; `failures` has all failures by global position, `current` is the first failed
    message.
    """

    consumer: str
    calls: Sequence[tuple[Handler, StoredMessage]]
    finish: Callable[[Session], Any]
    done: set[UUID]
    failures: dict[int, Failure] = field(default_factory=dict)
    current: StoredMessage | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait unless the consumer is woken; whether it was woken is sent back.

    Without `wakes`, wait in any case: a call that wakes the consumer then ends its next pause.
    """

    seconds: float
    wakes: bool = True


class Interrupted(Exception):
    """A transient database error; see `is_transient`."""


class ConnectionLost(Interrupted):
    """The connection was lost after a handler was called, possibly because of it."""


class HandlerConflict(Interrupted):
    """A handler's transaction conflicts with another one and must be retried."""


class StateMismatch(Interrupted):
    """The database does not match the consumer's in-memory state.

    The database was restored to an older state, or the consumer's position was changed.
    """


class AnchorMissing(StateMismatch):
    """The last message read, whose position is saved, is no longer in the database.

    Usually it was deleted, which is harmless.
    """


class AnchorDeleted(StateMismatch):
    """The last message read was deleted by a retention policy, as is to be expected.

    A database that records a deletion up to a message is newer than the message.
    """


class NoTransaction(InvalidArgument):
    """Handlers have no transaction to work in, which is not their fault."""


def handler_operation(
    settings: Settings,
    calls: Sequence[tuple[Handler, StoredMessage]],
    finish: Callable[[Session], Any],
    done: set[UUID],
) -> Handle | Deliver:
    """Return the operation with which a consumer with these settings calls handlers."""
    if settings.max_in_flight is None:
        return Handle(settings.name, calls, finish, settings.isolation_level)
    return Deliver(settings.name, calls, finish, done)


Operation = Transact | OnStandby | Handle | Deliver | Pause
Routine = Generator[Operation, Any, None]
"""Yields operations, and receives their results."""
