from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from mdb_sqla import Message, MessageStore
from tests.cli.in_process import run
from tests.cli.test_mdb import MDB
from tests.folders import open_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that an unprivileged server can reach."""
    with open_folder() as folder:
        yield folder


class Dev:
    """A running `mdb dev`, and what it has printed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        self.lines = []
        for line in process.stdout:
            self.lines.append(line.rstrip("\n"))
            if "Ctrl-C" in line:
                break
        assert self.lines, process.communicate()

    def line(self, beginning: str) -> str:
        (found,) = [line for line in self.lines if line.startswith(beginning)]
        return found

    @property
    def url(self) -> str:
        return self.line("postgresql+psycopg://")

    def end(self, number: signal.Signals = signal.SIGINT) -> str:
        self.process.send_signal(number)
        output, errors = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, errors
        assert errors == ""
        return output


@contextmanager
def dev(folder: Path, *arguments: str) -> Iterator[Dev]:
    process = subprocess.Popen(
        [*MDB, "dev", *arguments],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield Dev(process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate()


def position(url: str) -> int:
    """Write a message; returns its position."""
    engine = create_engine(url)
    with engine.begin() as connection:
        written = MessageStore(connection).write("account-1", Message("T"))
    engine.dispose()
    assert isinstance(written, int)
    return written


def test_the_same_url_after_a_restart(folder: Path) -> None:
    urls = set()
    for expected, number in enumerate((signal.SIGINT, signal.SIGTERM)):
        with dev(folder) as server:
            assert position(server.url) == expected
            urls.add(server.url)
            assert "Stopped." in server.end(number)
    (url,) = urls

    match = re.fullmatch(r"postgresql\+psycopg://postgres:([\w-]{8})@localhost:(\d+)/postgres", url)
    assert match is not None
    kept = folder / ".mdb" / "connection.json"
    assert json.loads(kept.read_text()) == {"port": int(match[2]), "password": match[1]}
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_the_printed_lines_work(folder: Path) -> None:
    psql = shutil.which("psql")
    with dev(folder) as server:
        export = server.line("export ")
        shown = subprocess.run(
            ["sh", "-c", f'{export}; "$@" summary', "sh", sys.executable, "-m", "mdb_sqla"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert "message store 1.3.0" in shown
        assert f"is listening on localhost:{create_engine(server.url).url.port}." in server.lines[0]
        assert all(len(line) <= 80 for line in server.lines)
        if psql is not None:
            line = server.line("psql ")
            query = "SELECT message_store_version()"
            answer = subprocess.run(
                ["sh", "-c", f'{line} -At -c "SET search_path = message_store" -c "{query}"'],
                capture_output=True, text=True, check=True,
            ).stdout  # fmt: skip
            assert "1.3.0" in answer


def test_without_its_password_nobody_gets_in(folder: Path) -> None:
    with dev(folder) as server:
        url = create_engine(server.url).url
        for password, why in ((None, "no password supplied"), ("x", "password authentication")):
            address = url._replace(password=password).render_as_string(hide_password=False)
            done = run(["print"], {"MDB_DATABASE_URL": address})
            assert done.returncode == 1
            (line,) = done.stderr.splitlines()
            assert why in line
            assert line.endswith("Correct the user and password in the URL, or set PGPASSWORD.")


def test_a_chosen_port_is_kept(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    with dev(folder) as server:
        first = create_engine(server.url).url
    with dev(folder, "--port", str(port)) as server:
        second = create_engine(server.url).url
    with dev(folder) as server:
        third = create_engine(server.url).url

    assert (second.port, second.password) == (port, first.password)
    assert third == second


def refused(folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    monkeypatch.chdir(folder)
    done = run(["dev", *arguments], {})
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    return line


def test_a_port_in_use(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        line = refused(folder, monkeypatch, "--port", str(port))

    assert not (folder / ".mdb" / "connection.json").exists()
    assert line == (
        f"mdb: Can't listen on port {port} of localhost: Address already in use. Stop the program "
        "that uses it, or choose another port with --port."
    )


def test_a_directory_in_use(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with dev(folder) as server:
        line = refused(folder, monkeypatch)
        assert position(server.url) == 0

    assert line == "mdb: A server is already running in .mdb: use it, or stop it first."


def test_a_damaged_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".mdb").mkdir()
    (folder / ".mdb" / "connection.json").write_text("{")

    line = refused(folder, monkeypatch)

    assert "connection.json is damaged: delete it" in line


def test_a_killed_server_is_started_again(folder: Path) -> None:
    """The port of the former one may still be taken for a moment."""
    with dev(folder) as server:
        assert position(server.url) == 0
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    with dev(folder) as server:
        assert position(server.url) == 1
