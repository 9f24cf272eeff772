"""Ctrl-C in a long command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mdb_sqla.cli.options import fail
from mdb_sqla.host.process_signals import INTERRUPTED

__all__ = ["interruptible"]


@contextmanager
def interruptible(advice: str | Callable[[], str] = "") -> Iterator[None]:
    """Exit with status 130 on Ctrl-C.

    Args:
        advice: what was done, and how to resume.
    """
    try:
        yield
    except KeyboardInterrupt:
        text = advice if isinstance(advice, str) else advice()
        fail(f"Interrupted. {text}", INTERRUPTED)
