"""What a consumer's loop asks a driver for."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from mdb_sqla.handling import Handler
from mdb_sqla.message import StoredMessage

__all__ = ["CutOff", "Handle", "Interrupted", "Pause", "Step", "Steps", "Transact"]


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


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait, unless the consumer is woken; sent is whether it was."""

    seconds: float


class Interrupted(Exception):
    """The connection was lost, there was none to be had, or PostgreSQL asks to run it again."""


class CutOff(Interrupted):
    """The connection was lost after a handler had been called."""


Step = Transact | Handle | Pause
Steps = Generator[Step, Any, None]
