"""Primary servers and standbys that are paused, killed, promoted and copied."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, Engine, NullPool, create_engine, text
from tenacity import retry, retry_if_exception, stop_after_delay

from mdb_sqla.database.sqlstates import is_conflict
from mdb_sqla.embedded import EmbeddedPostgres
from tests.waiting import wait_until

SETTINGS = {
    "fsync": "off",
    # A standby that was down still finds what it lacks.
    "wal_keep_size": "1GB",
    "wal_retrieve_retry_interval": "50ms",
    "max_standby_streaming_delay": "100ms",
}


class Server:
    """A server that is reached at one address, however often it is started.

    Args:
        folder: the folder for its data and its address.
        name: its name in the folder.
        binaries: as for `EmbeddedPostgres`.
        settings: further settings.
    """

    def __init__(
        self, folder: Path, name: str, binaries: Path | None = None, **settings: str
    ) -> None:
        self.address = Address(folder / f"{name}.at")
        self.data = folder / name
        self._binaries = binaries
        self._settings = {**SETTINGS, **settings}
        self._server: EmbeddedPostgres | None = None
        self.engine: Engine = create_engine(self.address.url, poolclass=NullPool)

    @property
    def folder(self) -> str:
        """The folder of its socket while it runs."""
        assert self._server is not None
        return str(self._server.url().query["host"])

    def start(self, upstream: Address | None = None) -> None:
        """Start it, as a standby of the server at an address if one is given."""
        settings = dict(self._settings)
        if upstream is not None:
            settings["primary_conninfo"] = upstream.conninfo
            (self.data / "standby.signal").touch()
        self._server = EmbeddedPostgres(self.data, binaries=self._binaries, settings=settings)
        self._server.start()
        self.address.point_to(self.folder)

    def crash(self) -> None:
        """Have it drop all it does, as `pg_ctl stop -m immediate` does."""
        os.kill(self.postmaster, signal.SIGQUIT)
        self.stop()

    @property
    def postmaster(self) -> int:
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None

    def promote(self) -> None:
        assert self.query("SELECT pg_promote()")

    def copy(self, other: Server) -> None:
        """Copy the data of a server that runs, as `pg_basebackup` does."""
        shutil.rmtree(self.data, ignore_errors=True)
        version = other.query("SELECT current_setting('server_version_num')::int")
        start, stop = (
            ("pg_backup_start('copy', true)", "pg_backup_stop(false)")
            if version >= 150000
            else ("pg_start_backup('copy', true, false)", "pg_stop_backup(false, false)")
        )
        with other.engine.connect() as connection:
            connection.execute(text(f"SELECT {start}"))
            shutil.copytree(other.data, self.data, copy_function=_copied)
            label = connection.execute(text(f"SELECT labelfile FROM {stop}")).scalar_one()
        for name in ("postmaster.pid", "postmaster.opts", "standby.signal", "backup_label.old"):
            (self.data / name).unlink(missing_ok=True)
        (self.data / "backup_label").write_text(label)
        (self.data / "standby.signal").touch()
        owner = other.data.stat()
        for path in [self.data, *self.data.rglob("*")]:
            shutil.chown(path, owner.st_uid, owner.st_gid)
        self.data.chmod(0o700)

    @retry(retry=retry_if_exception(is_conflict), stop=stop_after_delay(20))
    def query(self, statement: str, **parameters: Any) -> Any:
        """Return what a statement returns; a standby may cancel it because of its replay."""
        with self.engine.connect() as connection:
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            result = connection.execute(text(statement), parameters)
            return result.scalar() if result.returns_rows else None

    def pause_replay(self) -> None:
        """Have a standby replay nothing until `resume_replay`."""
        self.query("SELECT pg_wal_replay_pause()")
        wait_until(lambda: self.query("SELECT pg_get_wal_replay_pause_state()") == "paused")

    def resume_replay(self) -> None:
        self.query("SELECT pg_wal_replay_resume()")

    def wait_for(self, primary: Server) -> None:
        """Wait until it has replayed what the primary server has done so far."""
        written = primary.query("SELECT pg_current_wal_insert_lsn()::text")
        # Otherwise nothing may write the end of the log to disk.
        primary.query("SELECT pg_logical_emit_message(true, 'test', '')")
        wait_until(
            lambda: self.query(
                "SELECT pg_last_wal_replay_lsn() >= CAST(:lsn AS pg_lsn)", lsn=written
            )
        )


class Address:
    """An address that points to one server or another."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.url = URL.create(
            "postgresql+psycopg",
            username="postgres",
            port=5432,
            database="postgres",
            query={"host": str(path)},
        )

    @property
    def conninfo(self) -> str:
        return f"host={self._path} port=5432 user=postgres"

    def point_to(self, folder: str) -> None:
        link = self._path.with_name(f"{self._path.name}.next")
        link.unlink(missing_ok=True)
        link.symlink_to(folder)
        link.replace(self._path)


@contextmanager
def replication(
    request: pytest.FixtureRequest, folder: Path, standbys: int = 1, **settings: str
) -> Iterator[tuple[Server, list[Server]]]:
    """Run a primary server and some standbys of it."""
    where = request.config.getoption("--postgres")
    if where == "docker":
        pytest.skip("Needs PostgreSQL's programs, to start two servers")
    binaries = Path(where) if where else None
    servers = [
        Server(folder, name, binaries, **settings)
        for name in ("p", *(f"s{number}" for number in range(standbys)))
    ]
    primary, *others = servers
    try:
        primary.start()
        for standby in others:
            standby.copy(primary)
            standby.start(primary.address)
        yield primary, others
    finally:
        for server in servers:
            server.stop()


def _copied(source: str, target: str) -> str:
    # The server removes files during the copy.
    with suppress(FileNotFoundError):
        shutil.copy2(source, target)
    return target
