from __future__ import annotations

import os
import signal
from pathlib import Path

from sqlalchemy import URL

from mdb_sqla.embedded import EmbeddedPostgres


class CrashingServer:
    """A PostgreSQL server that crashes and is started again, at one address.

    Args:
        folder: for its data; the user that it runs as must get there, and the path be short.
        binaries: as for `EmbeddedPostgres`.
    """

    def __init__(self, folder: Path, binaries: Path | None = None) -> None:
        self._data = folder / "data"
        self._address = folder / "socket"
        # What it has written outlives it: only a power failure would need more.
        self._server = EmbeddedPostgres(self._data, binaries=binaries, settings={"fsync": "off"})

    @property
    def url(self) -> URL:
        """Where it is reached, whenever it runs."""
        return self._server.url().set(query={"host": str(self._address)})

    def start(self) -> None:
        """Start it, and return when it accepts connections."""
        self._server.start()
        # It has another folder for its socket at each start.
        link = self._address.with_name("next")
        link.symlink_to(str(self._server.url().query["host"]))
        link.replace(self._address)

    def crash(self) -> None:
        """Have it drop all it does, as `pg_ctl stop -m immediate` does."""
        postmaster = (self._data / "postmaster.pid").read_text().split()[0]
        os.kill(int(postmaster), signal.SIGQUIT)
        self._server.stop()

    def stop(self) -> None:
        self._server.stop()
