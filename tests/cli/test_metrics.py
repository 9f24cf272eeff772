"""`mdb metrics`, as a process of its own where it serves."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import URL

from tests.cli.running import write
from tests.cli.test_mdb import MDB, mdb
from tests.metrics.conftest import parsed

PATIENCE = 60.0  # seconds

Start = Any


@pytest.fixture
def start(database: URL) -> Iterator[Start]:
    processes: list[subprocess.Popen[str]] = []

    def started(*arguments: str, url: URL = database) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*MDB, "metrics", *arguments],
            env={**os.environ, "MDB_DATABASE_URL": url.render_as_string(hide_password=False)},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        processes.append(process)
        return process

    yield started
    for process in processes:
        process.kill()
        process.communicate()


def served_url(process: subprocess.Popen[str]) -> str:
    for line in process.stderr or ():
        if found := re.search(r"http://127\.0\.0\.1:\d+/metrics", line):
            return found[0]
    raise AssertionError("no address is logged")


def scraped(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=PATIENCE) as response:
        return parsed(response.read().decode())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serving(start: Start, database: URL, number: signal.Signals) -> None:
    write(database, ("order-1", "Placed"))
    process = start("--address", "0")
    url = served_url(process)
    assert scraped(url)["mdb_sqla_store_last_position"] == {(): 1}

    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=PATIENCE)
    assert (process.returncode, stdout, stderr) == (0, "", "")


def test_once(database: URL) -> None:
    write(database, ("order-1", "Placed"))

    done = mdb("metrics", "--once", url=database)

    assert parsed(done.stdout)["mdb_sqla_store_last_position"] == {(): 1}
    assert done.stderr == ""


def test_once_without_the_database(database: URL) -> None:
    gone = database.set(database="no_such_database")

    done = mdb("metrics", "--once", url=gone, code=1)

    assert parsed(done.stdout) == {"mdb_sqla_store_up": {(): 0}}
    assert done.stderr.startswith("mdb: ")
    assert "does not exist" in done.stderr


def test_it_starts_without_the_database(start: Start, database: URL) -> None:
    process = start("--address", "0", "--log-format", "json", url=database.set(database="x"))
    serving = json.loads(process.stderr.readline())
    assert scraped(f"{serving['url']}/metrics") == {"mdb_sqla_store_up": {(): 0}}
    unavailable = json.loads(process.stderr.readline())

    assert serving["event"] == "metrics.serving"
    assert unavailable["event"] == "metrics.store_unavailable"
    assert (unavailable["level"], unavailable["logger"]) == ("WARNING", "mdb_sqla.metrics")
    assert "does not exist" in unavailable["reason"]


def test_a_scrape_in_progress_does_not_delay_the_end(start: Start, database: URL) -> None:
    """A server that says nothing: the scrape waits, but not the process."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        process = start("--address", "0", url=database.set(host="127.0.0.1", port=port, query={}))
        url = served_url(process)
        host, _, endpoint = url.removeprefix("http://").removesuffix("/metrics").rpartition(":")
        with socket.create_connection((host, int(endpoint))) as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            connected, _address = listener.accept()
            with connected:
                process.terminate()
                process.communicate(timeout=4)  # less than the time-out of the query
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--address", "x:y"], "address must be a port or host:port, got 'x:y'"),
        (["--address", "70000"], "address must be a port or host:port, got '70000'"),
        (["--url", "mysql://localhost/shop"], "Unsupported database mysql"),
    ],
)
def test_wrong_usage(database: URL, arguments: list[str], told: str) -> None:
    assert told in mdb("metrics", *arguments, url=database, code=2).stderr


def test_an_address_in_use(database: URL) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = mdb("metrics", "--address", port, url=database, code=1)
    assert f"mdb: Can't listen on 127.0.0.1:{port}: Address already in use" in done.stderr


@pytest.mark.parametrize(
    ("missing", "extra"),
    [
        ("prometheus_client", "metrics"),
        ("opentelemetry.sdk.metrics", "metrics"),
        ("starlette.applications", "http"),
        ("uvicorn", "http"),
    ],
)
def test_the_extra_that_is_missing_is_named(
    database: URL, missing: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)

    done = mdb("metrics", "--address", "0", url=database, code=1)
    assert f'pip install "mdb_sqla[{extra}]"' in done.stderr


def test_log_formats(database: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "xml" in mdb("metrics", "--log-format", "xml", url=database, code=2).stderr

    monkeypatch.delitem(sys.modules, "mdb_sqla.cli.json_log", raising=False)
    monkeypatch.setitem(sys.modules, "pythonjsonlogger.json", None)
    done = mdb("metrics", "--log-format", "json", url=database, code=1)
    assert 'pip install "mdb_sqla[logs]"' in done.stderr
