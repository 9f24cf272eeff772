"""Waiting for what the server or another thread does, and looking at the server's processes."""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy import Connection, text

__all__ = ["PATIENCE", "backends", "wait_until"]

PATIENCE = 20.0
"""For how many seconds tests wait for what is to happen at once."""


def wait_until(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    """Wait for what nobody tells of; it fails after so many seconds."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)  # between two looks at the server, which has no event for it


def backends(connection: Connection, pattern: str) -> list[int]:
    """Return the server's other processes in this database whose last statement looks like this."""
    found = connection.scalars(
        text(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
            "AND query ~ :pattern AND pid <> pg_backend_pid()"
        ),
        {"pattern": pattern},
    )
    return list(found)
