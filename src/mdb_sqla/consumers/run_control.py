"""Stopping and pausing a consumer's run, waiting, and logging."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

from mdb_sqla.consumers.loop_operations import Operation, Pause
from mdb_sqla.consumers.throughput import Rate

__all__ = ["Control", "Stopped", "log", "sleep", "wait_if_paused"]

_log = logging.getLogger("mdb_sqla.consumer")

_LONGEST_PAUSE = 60.0  # seconds; `resume` and `stop` wake the consumer


class Stopped(Exception):
    """The consumer was stopped between two operations."""


@dataclass
class Control:
    """The state of a run that other threads set and read.

    Attributes:
        stopping: whether to finish the current messages and return.
        paused: whether to handle no messages for now.
        rate: the rate of handled messages.
    """

    stopping: bool = False
    paused: bool = False
    rate: Rate = field(default_factory=Rate)


def wait_if_paused(control: Control) -> Generator[Operation, Any, None]:
    """Wait while the consumer is paused.

    Raises:
        Stopped: the consumer was stopped.
    """
    while control.paused and not control.stopping:
        yield Pause(_LONGEST_PAUSE)
    if control.stopping:
        raise Stopped


def sleep(seconds: float, control: Control) -> Generator[Operation, Any, None]:
    """Wait, even if the consumer is woken.

    Raises:
        Stopped: the consumer was stopped.
    """
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        yield Pause(left)
        yield from wait_if_paused(control)


def log(
    level: int,
    consumer: str,
    what: str,
    *values: object,
    error: Exception | None = None,
    **fields: object,
) -> None:
    """Log a line about a consumer; its name and `fields` become attributes of the record."""
    _log.log(
        level,
        f"Consumer %s {what}",
        consumer,
        *values,
        exc_info=error,
        extra={"consumer": consumer, **fields},
    )
