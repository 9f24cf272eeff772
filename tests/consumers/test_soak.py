"""Processes of a group are killed, paused and cut off, and their server crashes.

Every effect is there once, and in order.

MDB_SOAK_SECONDS says for how long, MDB_SOAK_SEED repeats the choices of another run.
"""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, NullPool, create_engine, text

from mdb_sqla import migrations
from tests.crashing import CrashingServer
from tests.disturbing import LEASE, PATIENCE, Processes, Writer, crashing_server, dealt

SECONDS = float(os.environ.get("MDB_SOAK_SECONDS", "15"))
SEED = int(os.environ.get("MDB_SOAK_SEED", random.SystemRandom().randrange(2**32)))
MEMBER = Path(__file__).with_name("member.py")
MEMBERS = 4
STREAMS = 50
DISTURBANCES = ["kill", "kill", "stop", "pause", "cut off", "crash"]


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[CrashingServer]:
    with crashing_server(request) as server:
        yield server


@pytest.fixture
def engine(server: CrashingServer) -> Engine:
    engine = create_engine(server.url, poolclass=NullPool)
    migrations.upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE effects (id serial, stream text, number int)"))
    return engine


def cut_off(engine: Engine) -> None:
    """End two of the consumers' connections."""
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
    done = Counter[str]()
    url = server.url.render_as_string(hide_password=False)

    def launch(number: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, MEMBER, url, f"m{number}", str(LEASE)])

    with Processes(MEMBERS, launch) as service:
        with Writer(engine, "order", streams=STREAMS, seed=SEED + 1) as writer:
            for what in dealt(DISTURBANCES, SECONDS, chance):
                if what == "crash":
                    server.crash()
                    threading.Event().wait(LEASE * 2 * chance.random())
                    server.start()
                elif what == "cut off":
                    cut_off(engine)
                else:
                    service.disturb(what, chance)
                done[what] += 1
        deadline = time.monotonic() + PATIENCE
        while len(effects := effects_in_order(engine)) < len(writer.written):
            assert time.monotonic() < deadline, f"{len(effects)} of {len(writer.written)}"
            threading.Event().wait(0.05)
        service.stop()
    effects = effects_in_order(engine)
    assert len(writer.written) > SECONDS * 20
    assert sum(done.values()) > SECONDS / 6
    assert sorted(number for _, number in effects) == writer.written
    by_stream: dict[str, list[int]] = defaultdict(list)
    for stream, number in effects:
        by_stream[stream].append(number)
    assert all(numbers == sorted(numbers) for numbers in by_stream.values())
