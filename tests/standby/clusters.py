"""A primary server and its standby, with one URL for whichever of them is primary."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine, NullPool, create_engine, text

from mdb_sqla import migrations
from mdb_sqla.embedded import EmbeddedPostgres
from tests.folders import open_folder
from tests.standby.conftest import replayed, replicating
from tests.waiting import wait_until

SYNCHRONOUS = {"synchronous_standby_names": "*"}
"""The primary waits for its standby at each COMMIT."""


def url_of(servers: Sequence[URL], driver: str) -> URL:
    """Return the URL of whichever of these servers is the primary."""
    return URL.create(
        f"postgresql+{driver}",
        username=servers[0].username,
        database=servers[0].database,
        query={
            "host": ",".join(str(url.query["host"]) for url in servers),
            "port": ",".join(str(url.port) for url in servers),
            "target_session_attrs": "read-write",
        },
    )


class Cluster:
    """Two servers with a store, which clients reach by a URL that has both."""

    def __init__(self, folder: Path, primary: EmbeddedPostgres, standby: EmbeddedPostgres) -> None:
        self._folder = folder
        self._primary = primary
        self._urls = primary.url(), standby.url()
        self.primary, self.standby = (create_engine(url, poolclass=NullPool) for url in self._urls)
        migrations.upgrade(self.primary)

    def url(self, driver: str = "psycopg") -> URL:
        return url_of(self._urls, driver)

    def url_without_primary(self, driver: str) -> URL:
        """The URL of clients that know of the standby only."""
        return url_of([self._urls[1]] * 2, driver)

    def catch_up(self) -> None:
        """Return when the standby has all that has happened so far."""
        replayed(self.primary, self.standby)()

    def cut_off(self) -> None:
        """Have the standby receive nothing from now on."""
        rules = self._folder / "primary" / "pg_hba.conf"
        rules.write_text(f"local replication all reject\n{rules.read_text()}")
        with self.primary.connect() as connection:
            connection.execute(text("SELECT pg_reload_conf()"))

        def is_alone() -> bool:
            with self.primary.connect() as connection:
                terminated = "SELECT pg_terminate_backend(pid) FROM pg_stat_replication"
                return not connection.execute(text(terminated)).all()

        wait_until(is_alone)

    def waiting_commits(self) -> int:
        """The number of transactions that wait for the standby."""
        with self.primary.connect() as connection:
            return len(connection.execute(text(_WAITING)).all())

    def kill(self) -> None:
        """Crash the primary."""
        postmaster = (self._folder / "primary" / "postmaster.pid").read_text().split()[0]
        os.kill(int(postmaster), signal.SIGQUIT)
        self._primary.stop()

    def promote(self) -> Engine:
        """Make the standby the primary, and return its engine."""
        with self.standby.connect() as connection:
            assert connection.scalar(text("SELECT pg_promote()"))
        return self.standby


_WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


@contextmanager
def cluster_of(request: pytest.FixtureRequest, settings: dict[str, str]) -> Iterator[Cluster]:
    """Run a cluster whose primary has these settings."""
    with open_folder() as folder, replicating(request, folder, settings) as servers:
        yield Cluster(folder, *servers)
