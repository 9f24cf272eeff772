"""A process that runs consumers: what signals and errors do to it."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine, create_engine, select, text
from sqlalchemy.orm import sessionmaker

from mdb_sqla import Consumer, Host, InvalidArgument, Message, MessageStore, tables
from mdb_sqla.cli.host_command import run
from mdb_sqla.cli.host_log import LogFormat

PATIENCE = 30.0  # seconds

MODULE = """
import asyncio, os, threading
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import sessionmaker
from mdb_sqla import Consumer, Group, Host, RetryPolicy

url = os.environ["URL"]
billing = Consumer("billing", "order", poll_interval=(0.005, 0.05))
once = RetryPolicy(max_attempts=1)
other = Consumer("other", "order", retry_policy=once, poll_interval=(0.005, 0.05))

@billing.on("T")
def handle(message, unit):
    unit.session.execute(text("INSERT INTO effects (number) VALUES (:n)"), {"n": message.data})

@billing.on("Endless")
def wait(message, unit):
    unit.session.connection().exec_driver_sql("INSERT INTO effects (number) VALUES (0)")
    open(os.environ["MARK"], "w").close()
    threading.Event().wait()

@other.on("Bad")
def fail(message, unit):
    raise ZeroDivisionError("a bad one")

@other.on("Exit")
def leave(message, unit):
    raise SystemExit(0)

sending = Consumer("other", "order", max_in_flight=4, group=Group(slots=2, lease=60))

@sending.on("Exit")
async def leave_in_flight(message):
    raise SystemExit(0)

def record(consumer, error):
    with open(os.environ["MARK"], "w") as file:
        print(consumer.name, type(error).__name__, file=file)

host = Host(sessionmaker(create_engine(url)), billing, other, on_error=record)
async_host = Host(async_sessionmaker(create_async_engine(url)), billing, other, on_error=record)
host_in_flight = Host(async_host.factory, billing, sending)
empty = Host(sessionmaker(create_engine(url)), billing, Consumer("empty", "order"))
nothing = 1
"""


class Application:
    """A module with hosts, the database that they use, and the process of one of them."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.folder = folder
        self.engine = engine
        self.mark = folder / "mark"
        self.processes: list[subprocess.Popen[str]] = []
        (folder / "shop.py").write_text(MODULE, encoding="utf-8")

    def start(self, where: str) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "URL": self.engine.url.render_as_string(hide_password=False),
            "MARK": str(self.mark),
            "COLUMNS": "120",
        }
        process = subprocess.Popen(
            [sys.executable, "-c", "from mdb_sqla.cli import main; main()", "host", where],
            cwd=self.folder,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.processes.append(process)
        return process

    def write(self, *messages: Message) -> None:
        with self.engine.begin() as connection:
            MessageStore(connection).write("order-1", messages)

    def effects(self) -> list[int]:
        with self.engine.connect() as connection:
            return list(connection.scalars(text("SELECT number FROM effects ORDER BY id")))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


@pytest.fixture
def application(tmp_path: Path, clean_database: URL) -> Iterator[Application]:
    engine = create_engine(clean_database)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE effects (id serial, number int)"))
    application = Application(tmp_path, engine)
    yield application
    for process in application.processes:
        process.kill()
        process.communicate()
    engine.dispose()


@pytest.fixture(params=["shop:host", "shop:async_host"])
def where(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stops_when_it_is_told(application: Application, where: str, number: int) -> None:
    process = application.start(where)
    application.write(Message("T", 1), Message("T", 2))
    until(lambda: application.effects() == [1, 2])

    process.send_signal(number)
    told, logged = process.communicate(timeout=PATIENCE)

    assert process.returncode == 0, logged
    assert "billing" in told
    assert "Endless: wait" in told
    assert "Consumer billing stopped" in logged
    assert "Consumer other stopped" in logged


def test_one_that_fails_ends_it_after_the_others(application: Application, where: str) -> None:
    process = application.start(where)
    application.write(Message("T", 1), Message("Bad"))

    _, logged = process.communicate(timeout=PATIENCE)

    assert process.returncode == 1
    last = " ".join(logged.splitlines()[-3:])
    assert "mdb: Consumer 'other' could not handle message 2 of type 'Bad'" in last
    assert ": ZeroDivisionError: a bad one" in last
    assert "Consumer billing stopped" in logged
    assert application.mark.read_text(encoding="utf-8") == "other HandlerFailed\n"


@pytest.mark.parametrize("where", ["shop:host", "shop:async_host", "shop:host_in_flight"])
def test_one_that_exits_ends_it_as_a_failure(application: Application, where: str) -> None:
    process = application.start(where)
    application.write(Message("Exit"))

    _, logged = process.communicate(timeout=PATIENCE)

    assert process.returncode == 1
    assert "Consumer 'other' was terminated by SystemExit(0)" in logged
    assert "Consumer billing stopped" in logged
    with application.engine.connect() as connection:
        assert connection.execute(select(tables.consumer_members)).all() == []


def test_a_second_interrupt_ends_it_at_once(application: Application) -> None:
    process = application.start("shop:host")
    application.write(Message("Endless"))
    until(application.mark.exists)

    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    process.send_signal(signal.SIGINT)

    assert process.wait(PATIENCE) == 130
    assert application.effects() == []


def test_pauses_and_goes_on(application: Application, where: str) -> None:
    process = application.start(where)
    application.write(Message("T", 1))
    until(lambda: application.effects() == [1])

    process.send_signal(signal.SIGTSTP)
    # It may be about to read: what it reads then is the last thing before the pause.
    threading.Event().wait(1)
    application.write(Message("T", 2))
    threading.Event().wait(0.5)
    assert application.effects() == [1]

    process.send_signal(signal.SIGCONT)
    until(lambda: application.effects() == [1, 2])
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("nowhere:host", "No module named 'nowhere'"),
        ("shop:nothing", "must be a Host, got 1"),
        ("shop:missing", "has no attribute 'missing'"),
        ("shop:empty", "Consumer 'empty' has no handlers"),
    ],
)
def test_what_can_not_be_run(application: Application, where: str, told: str) -> None:
    process = application.start(where)
    _, logged = process.communicate(timeout=PATIENCE)

    assert process.returncode == 2
    assert told in logged
    assert "Traceback" not in logged


def test_what_was_imported_is_kept_from_the_garbage_collector(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frozen: list[int] = []
    monkeypatch.setattr(Host, "run", lambda *_, **__: frozen.append(gc.get_freeze_count()))
    gc.unfreeze()
    try:
        run(Host(sessionmaker(), Consumer("billing", "order")), None, LogFormat.TEXT)
    finally:
        gc.unfreeze()
    assert frozen[0] > 10_000


def test_consumers_need_names_of_their_own() -> None:
    with pytest.raises(InvalidArgument, match="needs at least one consumer"):
        Host(sessionmaker())
    with pytest.raises(InvalidArgument, match="'a', 'a'"):
        Host(sessionmaker(), Consumer("a"), Consumer("a"))
