"""Does what docs/tutorial says, from its top to its end, in a folder of its own."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import psycopg
import pytest
from sqlalchemy import URL

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial" / "index.md"
BLOCK = re.compile(r"^```(python|ini|console)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PATIENCE = 30.0  # seconds


class Reader:
    """Who follows the page: saves its files and types its commands."""

    def __init__(self, folder: Path, database: URL, server: URL) -> None:
        self._folder = folder
        self._port = free_port()
        self._running: dict[str, subprocess.Popen[str]] = {}
        self.done: list[str] = []
        url = database.render_as_string(hide_password=False)
        self._environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(folder),
            "PYTEST_ADDOPTS": "-W error",
            "SHOP_DATABASE_URL": url,
            "MDB_DATABASE_URL": url,
            "MDB_TEST_DATABASE_URL": server.render_as_string(hide_password=False),
        }

    def save(self, source: str) -> None:
        """Save a file under the name in its first line."""
        name, _, text = source.partition("\n")
        path = self._folder / name.removeprefix("# ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def type(self, command: str, output: str) -> None:
        words = shlex.split(command.replace("8000", str(self._port)))
        self.done.append(words[0])
        if words[0] == "curl":
            assert self._ask(words) == json.loads(output)
        elif words[0] in {"uvicorn", "mdb"} and words[1] not in {"consumers", "revision"}:
            self._start(words)
        elif words[0] != "export":
            self._run(words)

    def stop(self) -> None:
        for name in list(self._running):
            self._stop(name)

    def _run(self, words: list[str]) -> None:
        done = subprocess.run(
            words,
            cwd=self._folder,
            env=self._environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        assert done.returncode == 0, done.stdout

    def _start(self, words: list[str]) -> None:
        """Start what goes on until it is told to end; the same again is started anew."""
        self._stop(words[0])
        self._running[words[0]] = subprocess.Popen(
            words, cwd=self._folder, env=self._environment, text=True, stderr=subprocess.PIPE
        )

    def _stop(self, name: str) -> None:
        process = self._running.pop(name, None)
        if process is not None:
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=PATIENCE)
            # uvicorn ends itself with the signal that it was sent.
            assert process.returncode in {0, -signal.SIGTERM}, errors

    def _ask(self, words: list[str]) -> object:
        """Do what curl would do; wait for the application to have started."""
        url = words[-1]
        until = time.monotonic() + PATIENCE
        while True:
            try:
                if "--json" in words:
                    data = words[words.index("--json") + 1]
                    return httpx2.post(url, json=json.loads(data)).json()
                return httpx2.get(url).json()
            except httpx2.ConnectError:
                assert time.monotonic() < until
                time.sleep(0.05)


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@pytest.fixture
def reader(tmp_path: Path, empty_database: URL, server_url: URL) -> Iterator[Reader]:
    reader = Reader(tmp_path, empty_database, server_url)
    yield reader
    reader.stop()


def test_the_tutorial(reader: Reader, empty_database: URL) -> None:
    for language, source in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if language == "console":
            for part in re.split(r"^\$ ", source, flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                reader.type(command, output)
        else:
            reader.save(source)

    assert {"alembic", "uvicorn", "curl", "mdb", "python"} <= {*reader.done}
    assert sales(empty_database) == [("tea", 1, 12)]


def sales(database: URL) -> list[tuple[object, ...]]:
    """What the consumer has counted, as soon as there is something."""
    url = database.set(drivername="postgresql").render_as_string(hide_password=False)
    until = time.monotonic() + PATIENCE
    with psycopg.connect(url, autocommit=True) as connection:
        while time.monotonic() < until:
            if rows := connection.execute("SELECT item, orders, revenue FROM sales").fetchall():
                return rows
            time.sleep(0.05)
    return []
