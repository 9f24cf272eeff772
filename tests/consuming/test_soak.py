"""Processes of a group are killed, paused and cut off, and their server crashes.

Every effect is there once, and in order.

MDB_SOAK_SECONDS says for how long, MDB_SOAK_SEED repeats the choices of another run.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine, NullPool, create_engine, text
from sqlalchemy.exc import OperationalError
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from mdb_sqla import Message, MessageStore, migrate
from tests.consuming.crashing import CrashingServer

SECONDS = float(os.environ.get("MDB_SOAK_SECONDS", "15"))
SEED = int(os.environ.get("MDB_SOAK_SEED", random.SystemRandom().randrange(2**32)))
MEMBER = Path(__file__).with_name("member.py")
MEMBERS = 4
STREAMS = 50
LEASE = 1.0  # seconds
DISTURBANCES = ["kill", "kill", "stop", "pause", "cut off", "crash"]
PATIENCE = 60.0  # seconds, for what is to end soon
ENDED = {0, -signal.SIGTERM}
"""What a process ends with that was told to: the signal itself, where it has not begun yet."""


class Service:
    """The processes, each of which is started again under another name when it has ended."""

    def __init__(self, url: URL) -> None:
        self._url = url.render_as_string(hide_password=False)
        self._number = 0
        self.processes: list[subprocess.Popen[bytes]] = []
        for _ in range(MEMBERS):
            self.start()

    def start(self) -> None:
        self._number += 1
        command = [sys.executable, str(MEMBER), self._url, f"m{self._number}", str(LEASE)]
        self.processes.append(subprocess.Popen(command))

    def end(self, process: subprocess.Popen[bytes], number: int) -> int:
        process.send_signal(number)
        self.processes.remove(process)
        return process.wait(PATIENCE)

    def end_all(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[CrashingServer]:
    """A server that no other test uses."""
    where = request.config.getoption("--postgres")
    if where == "docker":
        pytest.skip("Needs PostgreSQL's programs, to start a server")
    with tempfile.TemporaryDirectory(prefix="soak-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        server = CrashingServer(Path(folder), Path(where) if where else None)
        server.start()
        yield server
        server.stop()


@pytest.fixture
def engine(server: CrashingServer) -> Engine:
    engine = create_engine(server.url, poolclass=NullPool)
    migrate.upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE effects (id serial, stream text, number int)"))
    return engine


def write_until(engine: Engine, ended: threading.Event, written: list[int]) -> None:
    """Write without a break, a few messages at a time."""
    chance = random.Random(SEED + 1)
    while not ended.wait(0.01):
        numbers = range(len(written), len(written) + chance.randrange(1, 12))
        write(engine, [(f"order-{chance.randrange(STREAMS)}", Message("T", n)) for n in numbers])
        written.extend(numbers)


@retry(
    retry=retry_if_exception_type(OperationalError),
    stop=stop_after_delay(PATIENCE),
    wait=wait_fixed(0.02),
)
def write(engine: Engine, messages: list[tuple[str, Message]]) -> None:
    """Write until it is known to be committed: what was committed before is not written again."""
    with engine.begin() as connection:
        MessageStore(connection).write_messages(messages)


def disturb(
    what: str, service: Service, server: CrashingServer, engine: Engine, chance: random.Random
) -> None:
    """Do something bad to one of the processes, to their connections, or to the server."""
    assert all(each.poll() is None for each in service.processes)  # none has ended by itself
    process = chance.choice(service.processes)
    if what == "kill":
        service.end(process, signal.SIGKILL)
        service.start()
    elif what == "stop":
        assert service.end(process, signal.SIGTERM) in ENDED
        service.start()
    elif what == "pause":
        process.send_signal(signal.SIGSTOP)
        threading.Event().wait(LEASE * (0.5 + 1.5 * chance.random()))
        process.send_signal(signal.SIGCONT)
    elif what == "crash":
        server.crash()
        threading.Event().wait(LEASE * 2 * chance.random())
        server.start()
    else:
        with engine.connect() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND query ~ 'consumer_|effects' "
                    "AND pid <> pg_backend_pid() LIMIT 2"
                )
            )


def effects_in_order(engine: Engine) -> list[tuple[str, int]]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT stream, number FROM effects ORDER BY id"))
        return [tuple(row) for row in rows]


def test_nothing_is_lost_and_nothing_repeated(server: CrashingServer, engine: Engine) -> None:
    logging.getLogger(__name__).warning("MDB_SOAK_SEED=%d", SEED)
    chance = random.Random(SEED)
    ended, written, done = threading.Event(), list[int](), Counter[str]()
    service, deck = Service(server.url), list[str]()
    writer = threading.Thread(target=write_until, args=(engine, ended, written))
    writer.start()
    try:
        deadline = time.monotonic() + SECONDS
        # Until each has happened, however short.
        while time.monotonic() < deadline or done.keys() != set(DISTURBANCES):
            threading.Event().wait(chance.random() * 1.5)
            deck = deck or chance.sample(DISTURBANCES, len(DISTURBANCES))
            what = deck.pop()
            disturb(what, service, server, engine, chance)
            done[what] += 1
        ended.set()
        writer.join(PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while len(effects := effects_in_order(engine)) < len(written):
            assert time.monotonic() < deadline, f"{len(effects)} of {len(written)}"
            threading.Event().wait(0.05)
        for process in list(service.processes):
            assert service.end(process, signal.SIGTERM) in ENDED
        effects = effects_in_order(engine)
    finally:
        ended.set()
        service.end_all()
    assert len(written) > SECONDS * 20
    assert sum(done.values()) > SECONDS / 6
    assert sorted(number for _, number in effects) == written
    by_stream: dict[str, list[int]] = defaultdict(list)
    for stream, number in effects:
        by_stream[stream].append(number)
    assert all(numbers == sorted(numbers) for numbers in by_stream.values())
