"""Waiting for what the server or another thread does, and looking at the server's processes."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable

from sqlalchemy import Connection, text

__all__ = ["CLEANER", "PATIENCE", "backends", "collect_garbage", "wait_until"]

PATIENCE = 20.0
"""For how many seconds tests wait for what is to happen at once."""

CLEANER = "cleaner"
"""The name of the connection that empties the database that tests share, one after another."""


def wait_until(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    """Wait for what nobody tells of; it fails after so many seconds."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)  # between two looks at the server, which has no event for it


def backends(connection: Connection, pattern: str) -> list[int]:
    """Return the server's other processes in this database whose last statement looks like this.

    That which empties the database between two tests is not among them.
    """
    found = connection.scalars(
        text(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
            "AND query ~ :pattern AND pid <> pg_backend_pid() AND application_name <> :cleaner"
        ),
        {"pattern": pattern, "cleaner": CLEANER},
    )
    return list(found)


def collect_garbage() -> None:
    """Run the garbage collector, which does nothing while it runs in another thread."""
    thread = threading.get_ident()
    runs: list[str] = []

    def note(phase: str, _info: object) -> None:
        if phase == "stop" and threading.get_ident() == thread:
            runs.append(phase)

    def has_run() -> bool:
        runs.clear()
        gc.collect()
        return bool(runs)

    gc.callbacks.append(note)
    try:
        wait_until(has_run)
    finally:
        gc.callbacks.remove(note)
