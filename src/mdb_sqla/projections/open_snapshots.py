"""Snapshots that are older than the rows of a version.

Another table can't take the place of the application's for a transaction whose snapshot is older
than the rows of that table: it would see only some of them, or none.
"""

from __future__ import annotations

import threading
import time

from sqlalchemy import Engine, text

from mdb_sqla.errors import StoreBusy

__all__ = ["wait_for_snapshots"]

_INTERVAL = 0.02  # seconds between two looks; nothing notifies of the end of a transaction

_OPEN = text("""
    SELECT pid, xact_start::text AS started, backend_xmin::text AS xmin
    FROM pg_catalog.pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND backend_type = 'client backend' AND backend_xmin IS NOT NULL
""")


def wait_for_snapshots(engine: Engine, projection: str, wait: float) -> None:
    """Wait until all snapshots have been released that are open now.

    Args:
        engine: the engine.
        projection: the projection's name, for the error.
        wait: the timeout in seconds.

    Raises:
        StoreBusy: a transaction did not end before the timeout.
    """
    deadline = time.monotonic() + wait
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        waiting = set(map(tuple, connection.execute(_OPEN)))
        while waiting and (waiting := waiting & set(map(tuple, connection.execute(_OPEN)))):
            if time.monotonic() > deadline:
                pids = ", ".join(sorted(str(pid) for pid, *_ in waiting))
                raise StoreBusy(
                    f"Projection {projection!r} was not switched: transactions did not end within "
                    f"{wait:g} s whose snapshots are older than the new table's rows, of the "
                    f"processes {pids}"
                )
            threading.Event().wait(_INTERVAL)
