"""Signals that stop, pause and resume a host."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from mdb_sqla.log_event import log_event

__all__ = ["INTERRUPTED", "exit_immediately", "handle_signals"]

_log = logging.getLogger("mdb_sqla.host")

INTERRUPTED = 130  # the conventional exit status after SIGINT


@contextmanager
def handle_signals(
    *,
    interrupt: Callable[[], object],
    terminate: Callable[[], object],
    suspend: Callable[[], object],
    resume: Callable[[], object],
) -> Iterator[None]:
    """Handle signals within a block of the main thread, then restore the previous handlers.

    Args:
        interrupt: called on SIGINT.
        terminate: called on SIGTERM.
        suspend: called on SIGTSTP.
        resume: called on SIGCONT.
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


def exit_immediately() -> NoReturn:
    """Exit this process immediately, whatever it is doing."""
    log_event(_log, logging.ERROR, "host.killed", "Interrupted again; exiting immediately")
    logging.shutdown()
    os._exit(INTERRUPTED)
