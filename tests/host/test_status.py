"""The status of a host without HTTP, also where the server says nothing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import URL, create_engine
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import sessionmaker

from mdb_sqla import Host, HostStatus, InvalidArgument, Message
from mdb_sqla.host import service_host
from tests.host.conftest import Supervisor, billing, write


def test_the_report_at_the_start(factory: Any, database: URL, supervisor: Supervisor) -> None:
    write(database, "order-1", Message("Placed"), Message("Placed"))
    served = Host(factory, billing())
    told: list[HostStatus] = []

    def report(status: HostStatus) -> None:
        told.append(status)
        served.stop()

    served.run(on_start=report)

    (status,) = told
    assert status.consumers[0].state == "stopped"
    assert status.consumers[0].lag is not None
    assert (status.consumers[0].lag.position, status.consumers[0].lag.messages) == (None, 2)


@pytest.fixture
def silent_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[URL]:
    """One that takes connections and says nothing."""
    monkeypatch.setattr(service_host, "TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        yield URL.create("postgresql+psycopg", host="127.0.0.1", port=port, database="x")


def test_a_server_that_says_nothing(silent_server: URL) -> None:
    status = Host(sessionmaker(create_engine(silent_server)), billing()).status()

    assert "did not answer" in (status.problem or "")
    assert not status.is_healthy


def test_a_server_that_says_nothing_async(silent_server: URL) -> None:
    factory = async_sessionmaker(create_async_engine(silent_server))
    status = asyncio.run(Host(factory, billing()).status_async())

    assert "did not answer" in (status.problem or "")
    assert not status.is_healthy


def test_the_status_of_the_other_kind_of_host(silent_server: URL) -> None:
    with pytest.raises(InvalidArgument, match=r"Use status_async\(\)"):
        Host(async_sessionmaker(create_async_engine(silent_server)), billing()).status()
    with pytest.raises(InvalidArgument, match=r"Use status\(\)"):
        asyncio.run(Host(sessionmaker(), billing()).status_async())
