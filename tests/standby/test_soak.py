"""A group reads from two standbys while members and servers are killed, and standbys promoted.

The primary server waits for one of its standbys at each commit, and the one that has received most
is promoted. So every effect is there once, and in order.

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
from tests.disturbing import LEASE, PATIENCE, Processes, Writer, dealt
from tests.standby.servers import Address, Server, replication
from tests.waiting import wait_until

SECONDS = float(os.environ.get("MDB_SOAK_SECONDS", "20"))
SEED = int(os.environ.get("MDB_SOAK_SEED", random.SystemRandom().randrange(2**32)))
MEMBER = Path(__file__).with_name("member.py")
MEMBERS = 2
STREAMS = 20
DISTURBANCES = [
    "kill",
    "pause",
    "kill standby",
    "kill standby",
    "pause replay",
    "crash primary",
    "promote",
]


class Cluster:
    """A primary server, which another one becomes, and two standbys.

    Attributes:
        front: the address of the primary server.
        servers: all of them.
    """

    def __init__(self, folder: Path, primary: Server, standbys: list[Server]) -> None:
        self.front = Address(folder / "front")
        self.front.point_to(primary.folder)
        self.servers = [primary, *standbys]
        self._primary = primary
        self._standbys = standbys
        for standby in standbys:
            # It follows whatever server is the primary.
            standby.stop()
            standby.start(self.front)

    def disturb(self, what: str, chance: random.Random) -> None:
        standby = chance.choice(self._standbys)
        if what == "kill standby":
            standby.crash()
            self._rest(chance)
            standby.start(self.front)
        elif what == "pause replay":
            standby.query("SELECT pg_wal_replay_pause()")
            self._rest(chance)
            standby.resume_replay()
        elif what == "crash primary":
            self._primary.crash()
            self._rest(chance)
            self._primary.start()
            self.front.point_to(self._primary.folder)
        else:
            self._promote()

    def _promote(self) -> None:
        """Replace the primary server, and have it follow the new one, with a copy of its data."""
        old = self._primary
        streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
        wait_until(lambda: old.query(streaming) == len(self._standbys), PATIENCE)
        old.crash()
        new = max(self._standbys, key=received)
        new.promote()
        self.front.point_to(new.folder)
        old.copy(new)
        old.start(self.front)
        self._primary = new
        self._standbys = [server for server in self.servers if server is not new]

    def _rest(self, chance: random.Random) -> None:
        threading.Event().wait(chance.random())


def received(standby: Server) -> int:
    """Return how much a standby has of the log."""
    return int(
        standby.query(
            "SELECT greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0'"
        )
    )


@pytest.fixture
def cluster(request: pytest.FixtureRequest, folder: Path) -> Iterator[Cluster]:
    settings = {"synchronous_standby_names": "ANY 1 (*)"}
    with replication(request, folder, 2, **settings) as (primary, standbys):
        yield Cluster(folder, primary, standbys)


@pytest.fixture
def engine(cluster: Cluster) -> Engine:
    engine = create_engine(cluster.front.url, poolclass=NullPool)
    migrations.upgrade(engine)
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE TABLE effects "
                "(id serial, stream text, number int, is_read_from_standby boolean)"
            )
        )
    return engine


def effects_in_order(engine: Engine) -> list[tuple[str, int, bool]]:
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT stream, number, is_read_from_standby FROM effects ORDER BY id")
        )
        return [tuple(row) for row in rows]


def test_nothing_is_lost_and_nothing_repeated(cluster: Cluster, engine: Engine) -> None:
    logging.getLogger(__name__).warning("MDB_SOAK_SEED=%d", SEED)
    chance = random.Random(SEED)
    done = Counter[str]()
    urls = [str(address.url) for address in (cluster.front, *(s.address for s in cluster.servers))]

    def launch(number: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, MEMBER, f"m{number}", str(LEASE), *urls])

    with Processes(MEMBERS, launch) as service:
        with Writer(engine, "order", streams=STREAMS, seed=SEED + 1) as writer:
            for what in dealt(DISTURBANCES, SECONDS, chance):
                if what in {"kill", "pause"}:
                    service.disturb(what, chance)
                else:
                    cluster.disturb(what, chance)
                done[what] += 1
        deadline = time.monotonic() + PATIENCE
        while len(effects := effects_in_order(engine)) < len(writer.written):
            assert time.monotonic() < deadline, f"{len(effects)} of {len(writer.written)}"
            threading.Event().wait(0.05)
        service.stop()
    effects = effects_in_order(engine)
    from_standbys = sum(is_standby for _, _, is_standby in effects)
    logging.getLogger(__name__).warning(
        "%s; %d effects, %d read from standbys", dict(done), len(effects), from_standbys
    )
    assert from_standbys > len(effects) / 2
    assert sorted(number for _, number, _ in effects) == writer.written
    by_stream: dict[str, list[int]] = defaultdict(list)
    for stream, number, _ in effects:
        by_stream[stream].append(number)
    assert all(numbers == sorted(numbers) for numbers in by_stream.values())
