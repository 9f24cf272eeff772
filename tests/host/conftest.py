"""A supervisor that asks a host, and a consumer for it to run."""

from __future__ import annotations

import json
import logging
import re
import threading
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.error import HTTPError

import pytest
from sqlalchemy import URL, NullPool, create_engine
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import sessionmaker

from mdb_sqla import Consumer, Host, Message, MessageStore
from mdb_sqla.metrics import background_query

PATIENCE = 30.0  # seconds


class Supervisor:
    """Asks a host that runs, from another thread than the host's."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    @property
    def url(self) -> str:
        found: list[str] = []

        def is_told() -> bool:
            found.extend(re.findall(r"http://\S+", "\n".join(self._caplog.messages)))
            return bool(found)

        self.until(is_told)
        return found[-1]

    def ask(self) -> tuple[int, dict[str, Any]]:
        """Return status and body."""
        try:
            with urllib.request.urlopen(self.url, timeout=PATIENCE) as response:
                return response.status, json.load(response)
        except HTTPError as error:
            with error:
                return error.code, json.load(error)

    def consumer(self) -> dict[str, Any]:
        body: dict[str, Any] = self.ask()[1]["consumers"][0]
        return body

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline
            threading.Event().wait(0.02)

    def watch(self, served: Host, look: Callable[[], None]) -> None:
        """Run a host in this thread, until another one has looked at it."""

        def look_and_stop() -> None:
            try:
                look()
            finally:
                served.stop()

        with ThreadPoolExecutor() as threads:
            looking = threads.submit(look_and_stop)
            served.run()
            looking.result()


@pytest.fixture
def supervisor(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    caplog.set_level(logging.INFO, "mdb_sqla.host")
    monkeypatch.setattr(background_query, "_KEEP", 0.05)
    return Supervisor(caplog)


@pytest.fixture(params=["sync", "async", "asyncpg"])
def factory(request: pytest.FixtureRequest, database: URL) -> Any:
    if request.param == "sync":
        return sessionmaker(create_engine(database, poolclass=NullPool))
    driver = "asyncpg" if request.param == "asyncpg" else "psycopg"
    url = database.set(drivername=f"postgresql+{driver}")
    return async_sessionmaker(create_async_engine(url, poolclass=NullPool))


def write(database: URL, stream_name: str, *messages: Message) -> None:
    engine = create_engine(database, poolclass=NullPool)
    with engine.begin() as connection:
        MessageStore(connection).write(stream_name, messages)


def billing(**options: Any) -> Consumer:
    consumer = Consumer("billing", "order", poll_interval=(0.01, 0.05), **options)
    consumer.on("Placed")(lambda message, unit: None)
    return consumer
