from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest
from sqlalchemy import NullPool, create_engine

from mdb_sqla.embedded import EmbeddedPostgres, EmbeddedPostgresError
from tests.folders import open_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import URL


class Eventually(Protocol):
    def __call__(self, happened: Callable[[], bool]) -> None: ...


class Query(Protocol):
    def __call__(self, url: URL | str, sql: str) -> str: ...


@pytest.fixture(scope="session", autouse=True)
def _binaries() -> None:
    try:
        EmbeddedPostgres()
    except EmbeddedPostgresError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Path]:
    """The data folder of a cluster that is there already."""
    with open_folder() as path:
        (path / "data").mkdir()
        EmbeddedPostgres(path / "data").start().stop()
        yield path / "data"


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, eventually: Eventually) -> Iterator[Path]:
    """A folder with one for all temporary files in it, in which none may stay."""
    with open_folder() as path:
        temporary = path / "tmp"
        temporary.mkdir()
        temporary.chmod(0o1777)
        monkeypatch.setattr(tempfile, "tempdir", str(temporary))
        yield path
        eventually(lambda: not list(temporary.iterdir()))


@pytest.fixture(scope="session")
def query() -> Query:
    def run(url: URL | str, sql: str) -> str:
        engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            result = connection.exec_driver_sql(sql)
            return str(result.scalar()) if result.returns_rows else ""

    return run


@pytest.fixture(scope="session")
def eventually() -> Eventually:
    def wait(happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not happened():
            assert time.monotonic() < deadline, "it did not happen within 20 seconds"
            time.sleep(0.005)

    return wait


@pytest.fixture
def child(folder: Path, cluster: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Run Python code in a process of its own, with its standard output and input to talk to it."""
    children: list[subprocess.Popen[str]] = []

    def run(code: str) -> subprocess.Popen[str]:
        prelude = (
            "import os, sys, threading\n"
            "from mdb_sqla.embedded import EmbeddedPostgres\n"
            f"folder, cluster = {str(folder)!r}, {str(cluster)!r}\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", prelude + code],
            env={**os.environ, "TMPDIR": str(folder / "tmp")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        children.append(process)
        return process

    yield run
    for process in children:
        process.kill()
        process.communicate()
