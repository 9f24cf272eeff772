"""Stopping and pausing a consumer's run, waiting, and logging."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from mdb_sqla.consumers.consumer_pause import ConsumerPause, read_pause
from mdb_sqla.consumers.loop_operations import Operation, Pause, Transact
from mdb_sqla.consumers.throughput import Rate
from mdb_sqla.log_event import log_event

__all__ = [
    "MAX_AGE",
    "Control",
    "PausedInDatabase",
    "Stopped",
    "back_off",
    "log",
    "sleep",
    "wait_if_paused",
    "wait_until_resumed",
]

_log = logging.getLogger("mdb_sqla.consumer")

MAX_AGE = 0.01
"""For how many seconds it is assumed that a consumer is still not paused, unless it is notified."""

_LONGEST_PAUSE = 60.0  # seconds; `resume` and `stop` wake the consumer


class Stopped(Exception):
    """The consumer was stopped between two operations."""


class PausedInDatabase(Exception):
    """The consumer was paused in the database, for all processes, between two operations."""


@dataclass
class Control:
    """The state of a run that other threads set and read.

    Attributes:
        consumer: the consumer's name.
        stopping: whether to finish the current messages and return.
        paused: whether to handle no messages for now; only in this process.
        outdated: whether the consumer may have been paused in the database since that was last
            read, so that it must be read before the next message.
        rate: the rate of handled messages.
    """

    consumer: str
    stopping: bool = False
    paused: bool = False
    outdated: bool = False
    rate: Rate = field(default_factory=Rate)
    _paused_in_database: bool = False
    _read_at: float = -math.inf

    @property
    def paused_in_database(self) -> bool:
        """Whether the consumer was paused in the database when it was last read."""
        return self._paused_in_database

    @paused_in_database.setter
    def paused_in_database(self, paused: bool) -> None:
        self._paused_in_database = paused
        self._read_at = time.monotonic()

    @property
    def is_old(self) -> bool:
        """Whether it is read again when the next position is saved, which has a small cost."""
        return time.monotonic() - self._read_at > MAX_AGE

    @property
    def is_paused(self) -> bool:
        """Whether the consumer handles no messages for now."""
        return self.paused or self.paused_in_database


def wait_if_paused(control: Control) -> Generator[Operation, Any, None]:
    """Wait while the consumer is paused in this process.

    Raises:
        Stopped: the consumer was stopped.
        PausedInDatabase: the consumer is paused in the database.
    """
    yield from _wait_if_paused_here(control)
    if control.outdated:
        control.outdated = False
        pause = yield Transact(partial(read_pause, control.consumer))
        control.paused_in_database = pause is not None
    if control.paused_in_database:
        raise PausedInDatabase


def _wait_if_paused_here(control: Control) -> Generator[Operation, Any, None]:
    while control.paused and not control.stopping:
        yield Pause(_LONGEST_PAUSE)
        control.outdated = True
    if control.stopping:
        raise Stopped


def wait_until_resumed(
    control: Control, pause: ConsumerPause, interval: float
) -> Generator[Operation, Any, None]:
    """Wait until the consumer is no longer paused in the database.

    Args:
        control: the state of the run.
        pause: the pause, for the log.
        interval: the interval in seconds to read it again, unless the consumer is notified.

    Raises:
        Stopped: the consumer was stopped.
    """
    log(
        logging.INFO,
        control.consumer,
        "consumer.paused",
        "is paused since %s by %s",
        f"{pause.paused_at:%Y-%m-%d %H:%M:%S}Z",
        pause.paused_by,
        paused_by=pause.paused_by,
    )
    while control.paused_in_database:
        end = time.monotonic() + interval
        # Notifications of messages also wake the consumer.
        while not control.outdated and (left := end - time.monotonic()) > 0:
            yield Pause(left)
            if control.stopping:
                raise Stopped
        control.outdated = False
        found = yield Transact(partial(read_pause, control.consumer))
        control.paused_in_database = found is not None
    log(logging.INFO, control.consumer, "consumer.resumed", "was resumed")


def sleep(seconds: float, control: Control) -> Generator[Operation, Any, None]:
    """Wait, even if the consumer is woken.

    Raises:
        Stopped: the consumer was stopped.
        PausedInDatabase: the consumer is paused in the database.
    """
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        yield Pause(left)
        yield from wait_if_paused(control)


def back_off(seconds: float, control: Control) -> Generator[Operation, Any, None]:
    """Wait, even if the consumer is woken, without the database, which may be unavailable.

    Raises:
        Stopped: the consumer was stopped.
    """
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        yield Pause(left)
        yield from _wait_if_paused_here(control)


def log(
    level: int,
    consumer: str,
    event: str,
    what: str,
    *values: object,
    error: BaseException | None = None,
    **fields: object,
) -> None:
    """Log an event of a consumer. Its name and `fields` become attributes of the record."""
    log_event(
        _log,
        level,
        event,
        f"Consumer %s {what}",
        consumer,
        *values,
        error=error,
        depth=2,
        consumer=consumer,
        **fields,
    )
