from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from sqlalchemy import URL, NullPool, create_engine
from sqlalchemy.orm import sessionmaker

from mdb_sqla import Consumer, Message, MessageStore

PATIENCE = 60.0  # seconds

MODULE = """
import os
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker
from mdb_sqla import Consumer, Host

billing = Consumer("billing", "order")

@billing.on("Placed")
def bill(message, unit):
    pass

host = Host(sessionmaker(create_engine(os.environ["URL"])), billing)
"""
MAIN = "from mdb_sqla.cli import main; main()"


class Shop:
    """A module with a host, which is run by the command."""

    def __init__(self, folder: Path, database: URL) -> None:
        self.database = database
        self.folder = folder
        self.processes: list[subprocess.Popen[str]] = []
        (folder / "shop.py").write_text(MODULE, encoding="utf-8")

    def start(self, *arguments: str, main: str = MAIN) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", main, "host", "shop:host", *arguments],
            cwd=self.folder,
            env={
                **os.environ,
                "COLUMNS": "100",
                "URL": self.database.render_as_string(hide_password=False),
            },
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.processes.append(process)
        return process

    def fails(self, *arguments: str, main: str = MAIN, code: int = 1) -> str:
        process = self.start(*arguments, main=main)
        told, logged = process.communicate(timeout=PATIENCE)
        assert process.returncode == code, told + logged
        assert "Traceback" not in logged
        return logged


@pytest.fixture
def shop(tmp_path: Path, database: URL) -> Iterator[Shop]:
    shop = Shop(tmp_path, database)
    yield shop
    for process in shop.processes:
        process.kill()
        process.communicate()


def told_url(process: Any) -> str:
    for line in process.stderr:
        if found := re.search(r"http://127\.0\.0\.1:\d+/health", line):
            return found[0]
    raise AssertionError("no address is told")


def ask_until_healthy(url: str) -> Any:
    """Return what is told; HTTP is served a moment before the consumers run."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE) as response:
                return json.load(response)
        except HTTPError as error:
            error.close()
            assert time.monotonic() < deadline
        threading.Event().wait(0.05)


def test_health_is_told(shop: Shop) -> None:
    engine = create_engine(shop.database, poolclass=NullPool)
    with engine.begin() as connection:
        MessageStore(connection).write("order-1", [Message("Placed"), Message("Placed")])
    consumer = Consumer("billing", "order")
    consumer.on()(lambda message, unit: None)
    consumer.catch_up(sessionmaker(engine))
    with engine.begin() as connection:
        MessageStore(connection).write("order-1", Message("Placed"))

    process = shop.start("--http", "0")
    assert ask_until_healthy(told_url(process))["consumers"][0]["name"] == "billing"
    process.send_signal(signal.SIGTERM)
    told, logged = process.communicate(timeout=PATIENCE)

    assert process.returncode == 0, logged
    header, row = told.splitlines()
    assert header.split() == ["consumer", "reads", "group", "handlers", "position", "lag"]
    assert row.split() == ["billing", "order", "alone", "Placed:", "bill", "2", "1"]


def test_an_address_in_use(shop: Shop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        refused = f"mdb: Can't listen on 127.0.0.1:{port}: Address already in use"
        assert refused in shop.fails("--http", port)


def test_what_is_no_address(shop: Shop) -> None:
    assert "mdb: http must be a port or host:port, got 'x:y'" in shop.fails("--http", "x:y", code=2)


@pytest.mark.parametrize("missing", ["uvicorn", "starlette"])
def test_the_extra_that_is_missing_is_named(shop: Shop, missing: str) -> None:
    main = f"import sys; sys.modules[{missing!r}] = None; {MAIN}"

    assert 'pip install "mdb_sqla[http]"' in shop.fails("--http", "0", main=main)


def test_without_the_database_it_reports_what_it_can(shop: Shop) -> None:
    shop.database = shop.database.set(database="no_such_database")
    process = shop.start("--http", "0")
    told_url(process)
    for line in process.stderr or ():
        if "mdb:" in line:
            break
    process.send_signal(signal.SIGTERM)
    told, _ = process.communicate(timeout=PATIENCE)

    assert "does not exist" in line
    assert ["billing", "order", "alone", "Placed:", "bill", "?", "?"] in map(
        str.split, told.splitlines()
    )
