"""The signals by which a supervisor, or a terminal, stops and pauses a host."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

__all__ = ["end_at_once", "handled"]

_log = logging.getLogger("mdb_sqla.host")

_INTERRUPTED = 130  # the exit status of a program that SIGINT has ended


@contextmanager
def handled(
    *,
    interrupt: Callable[[], object],
    terminate: Callable[[], object],
    suspend: Callable[[], object],
    resume: Callable[[], object],
) -> Iterator[None]:
    """Handle signals within a block, which the main thread is in; leave them as they were.

    Args:
        interrupt: is called at SIGINT.
        terminate: is called at SIGTERM.
        suspend: is called at SIGTSTP.
        resume: is called at SIGCONT.
    """
    handlers = {
        signal.SIGINT: lambda *_: interrupt(),
        signal.SIGTERM: lambda *_: terminate(),
        signal.SIGTSTP: lambda *_: suspend(),
        signal.SIGCONT: lambda *_: resume(),
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_at_once() -> NoReturn:
    """End this process, whatever it is doing."""
    _log.error("Interrupted again: this process ends at once")
    logging.shutdown()
    os._exit(_INTERRUPTED)
