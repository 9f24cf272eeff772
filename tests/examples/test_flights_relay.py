"""Departures are published to a real broker, and each is charged exactly once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import URL

from tests.brokers.fixtures import running
from tests.brokers.nats_server import NatsServer
from tests.examples.command import connected, printed_totals, run, start, wait_until
from tests.examples.flights_data import first_flights


@pytest.fixture
def nats() -> Iterator[NatsServer]:
    with running(NatsServer) as server:
        yield server


@pytest.fixture
def database(databases: Any) -> Iterator[URL]:
    with databases.create() as url:
        yield url


def departures(count: int) -> int:
    return sum(flight["dep_time"] != "NA" for flight in first_flights(count))


def relayed(database: URL, nats: NatsServer, count: int) -> dict[str, tuple[int, int, str]]:
    totals = printed_totals(
        run(database, "-m", "flights", "--flights", str(count), "--nats", nats.url)
    )
    assert all(verdict == "equal" for _, _, verdict in totals.values())
    return totals


def test_every_departure_is_charged_once(database: URL, nats: NatsServer) -> None:
    # The last run has nothing left to do.
    for count in (100, 150, 150):
        totals = relayed(database, nats, count)
        assert totals["charges received"][1] == departures(count)
        assert totals["departures charged"][1] == departures(count)
        # 389 dollars is the charge at the cheapest airport.
        assert totals["dollars charged"][1] >= departures(count) * 389


def test_a_killed_run_can_be_resumed(database: URL, nats: NatsServer) -> None:
    """The relay, the inbox and the external service are all killed."""
    arguments = ("-m", "flights", "--flights", "400", "--nats", nats.url)
    with (
        start(database, *arguments, in_own_group=True) as command,
        connected(database) as engine,
    ):
        wait_until(engine, "to_regclass('fees') IS NOT NULL")
        wait_until(engine, "(SELECT sum(departures) > 100 FROM fees)")
        os.killpg(command.pid, signal.SIGKILL)
    with connected(database) as engine:
        before = wait_until(engine, "(SELECT sum(departures) FROM fees)")
    assert before < departures(400)

    totals = relayed(database, nats, 400)
    assert totals["departures charged"][1] == departures(400)


def test_an_unreachable_broker(database: URL) -> None:
    arguments = ("-m", "flights", "--flights", "20", "--nats", "nats://127.0.0.1:1")
    output = run(database, *arguments, status=1)
    assert output.endswith("relayed: no NATS server answers at nats://127.0.0.1:1.\n")


def test_without_a_broker(database: URL) -> None:
    output = run(database, "-m", "flights", "--flights", "50")

    assert "Departures are not relayed: a database of your own also needs --nats." in output
    assert "charges received" not in printed_totals(output)
