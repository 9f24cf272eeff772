"""A host that is asked over HTTP how its consumers are."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import URL, NullPool, create_engine, event, text
from sqlalchemy.orm import sessionmaker

from mdb_sqla import Consumer, Group, Host, Message, RetryPolicy
from tests.host.conftest import PATIENCE, Supervisor, billing, write


def test_what_is_told(factory: Any, database: URL, supervisor: Supervisor) -> None:
    write(database, "order-1", Message("Placed"), Message("Placed"), Message("Unknown"))
    other = Consumer("other", group=Group(slots=2))
    other.on("Other")(lambda message, unit: None)
    served = Host(factory, billing(), other, http=0)

    def look() -> None:
        supervisor.until(lambda: supervisor.consumer()["positions"] == {"0": 2})
        supervisor.until(lambda: len(supervisor.ask()[1]["consumers"][1]["positions"]) == 2)
        code, body = supervisor.ask()
        assert code == 200
        member = body["consumers"][1].pop("group")
        # Two were handled since it began, a moment ago.
        rates = [consumer.pop("rate") for consumer in body["consumers"]]
        assert 0 < rates[0] <= 2
        assert rates[1] == 0
        assert member.endswith(", 2 slots")
        nothing = {"messages": 0, "at_least": False, "seconds": 0.0}
        assert body == {
            "healthy": True,
            "problem": None,
            "consumers": [
                {
                    "name": "billing",
                    "categories": ["order"],
                    "group": "alone",
                    "handlers": {"Placed": "<lambda>"},
                    "state": "running",
                    "error": None,
                    "positions": {"0": 2},
                    "lag": nothing,
                    "dead_letters": 0,
                    "standbys": {},
                },
                {
                    "name": "other",
                    "categories": [],
                    "handlers": {"Other": "<lambda>"},
                    "state": "running",
                    "error": None,
                    "positions": {"0": 0, "1": 0},
                    "lag": nothing,
                    "dead_letters": 0,
                    "standbys": {},
                },
            ],
        }

    supervisor.watch(served, look)
    with pytest.raises(OSError, match="refused"):
        supervisor.ask()
    assert "mdb_sqla http" not in {thread.name for thread in threading.enumerate()}


def test_one_that_is_paused_falls_behind(
    factory: Any, database: URL, supervisor: Supervisor
) -> None:
    consumer = billing()

    def look() -> None:
        supervisor.until(lambda: supervisor.consumer()["state"] == "running")
        consumer.pause()
        # What it is about to read is the last thing before the pause.
        threading.Event().wait(0.5)
        write(database, "order-1", Message("Placed"), Message("Placed"))
        supervisor.until(lambda: supervisor.consumer()["lag"]["messages"] == 2)
        code, body = supervisor.ask()
        assert (code, body["consumers"][0]["state"]) == (200, "paused")
        assert body["consumers"][0]["lag"]["seconds"] > 0
        consumer.resume()
        supervisor.until(lambda: supervisor.consumer()["lag"]["messages"] == 0)

    supervisor.watch(Host(factory, consumer, http=0), look)


def test_one_that_has_failed(database: URL, supervisor: Supervisor) -> None:
    """The other one still finishes what it has in hand."""
    write(database, "order-1", Message("Placed"), Message("Bad"))
    asked, is_busy = threading.Event(), threading.Event()
    busy, bad = billing(), Consumer("bad", "order", retry_policy=RetryPolicy(max_attempts=1))
    told: list[tuple[int, dict[str, Any]]] = []

    @busy.on("Bad")
    def wait(message: Any, unit: Any) -> None:
        is_busy.set()
        assert asked.wait(PATIENCE)

    @bad.on("Bad")
    def fail(message: Any, unit: Any) -> None:
        assert is_busy.wait(PATIENCE)
        raise ZeroDivisionError

    def look() -> None:
        supervisor.until(lambda: supervisor.ask()[1]["consumers"][1]["state"] == "failed")
        supervisor.until(lambda: supervisor.consumer()["lag"]["messages"] == 1)
        told.append(supervisor.ask())
        asked.set()

    factory = sessionmaker(create_engine(database, poolclass=NullPool))
    with pytest.raises(ExceptionGroup):
        supervisor.watch(Host(factory, busy, bad, http=0), look)
    ((code, body),) = told
    assert (code, body["healthy"]) == (503, False)
    assert [consumer["state"] for consumer in body["consumers"]] == ["stopping", "failed"]
    assert "could not handle message 2" in body["consumers"][1]["error"]


def test_a_database_that_is_gone(
    factory: Any, database: URL, supervisor: Supervisor, databases: Any
) -> None:
    engine = factory.kw["bind"]
    is_gone = threading.Event()

    @event.listens_for(getattr(engine, "sync_engine", engine), "do_connect")
    def refuse(dialect: Any, record: Any, arguments: Any, options: dict[str, Any]) -> None:
        if is_gone.is_set():
            options.update(host="127.0.0.1", port=1)

    def look() -> None:
        supervisor.until(lambda: supervisor.ask()[0] == 200)
        is_gone.set()
        databases.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE datname = '{database.database}'"
        )
        supervisor.until(lambda: supervisor.ask()[0] == 503)
        supervisor.until(lambda: "failed" in (supervisor.ask()[1]["problem"] or ""))
        assert supervisor.consumer()["name"] == "billing"
        assert supervisor.consumer()["lag"] is None
        is_gone.clear()
        supervisor.until(lambda: supervisor.ask()[0] == 200)

    supervisor.watch(Host(factory, billing(), http=0), look)


def test_a_table_that_is_locked(
    factory: Any, database: URL, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mdb_sqla.consumers import backlog

    monkeypatch.setitem(backlog.LAG_SETTINGS, "statement_timeout", "100ms")

    def look() -> None:
        supervisor.until(lambda: supervisor.ask()[0] == 200)
        with create_engine(database, poolclass=NullPool).begin() as connection:
            connection.execute(text("LOCK TABLE message_store.dead_letters"))
            supervisor.until(lambda: supervisor.ask()[0] == 503)
            assert "statement timeout" in supervisor.ask()[1]["problem"]
        supervisor.until(lambda: supervisor.ask()[0] == 200)

    supervisor.watch(Host(factory, billing(), http=0), look)
