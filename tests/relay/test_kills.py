"""Relays, their broker and their database are killed and paused: everything arrives, in order.

MDB_RELAY_SECONDS says for how long at each broker, MDB_RELAY_SEED repeats the choices of a run.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, NullPool, create_engine, func, select
from sqlalchemy.exc import OperationalError
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from mdb_sqla import Message, MessageStore, migrate, tables
from tests.brokers.kafka_cluster import KafkaCluster
from tests.brokers.kafka_server import KafkaServer
from tests.brokers.nats_server import NatsCluster
from tests.consuming.crashing import CrashingServer
from tests.relay.receiving import (
    FromConfluent,
    FromIdempotentConfluent,
    FromIdempotentKafka,
    FromKafka,
    FromNats,
    FromRabbitMQ,
    FromRedis,
    Receiving,
)
from tests.relay.test_outages import assert_in_order, first_arrivals

SECONDS = float(os.environ.get("MDB_RELAY_SECONDS", "8"))
SEED = int(os.environ.get("MDB_RELAY_SEED", random.SystemRandom().randrange(2**32)))
RELAYS = 2
STREAMS = 30
LEASE = 1.0  # seconds
DISTURBANCES = ["kill", "kill", "kill", "stop", "pause", "pause broker", "crash"]
PATIENCE = 90.0  # seconds, for what is to end soon
ENDED = {0, -signal.SIGTERM}
"""What a process ends with that was told to: the signal itself, where it has not begun yet."""
MAIN = "from mdb_sqla.cli import main; main()"

BROKERS: dict[str, Any] = {
    "nats": (FromNats, "nats_server"),
    "nats_cluster": (FromNats, "nats_cluster"),
    "rabbitmq": (FromRabbitMQ, "rabbitmq_server"),
    "redis": (FromRedis, "redis_server"),
    "kafka": (FromKafka, "kafka_server"),
    "confluent": (FromConfluent, "kafka_server"),
    "idempotent_kafka": (FromIdempotentKafka, "kafka_cluster"),
    "idempotent_confluent": (FromIdempotentConfluent, "kafka_cluster"),
}


class Relays:
    """Processes of `mdb relay`, each of which is started again when it has ended."""

    def __init__(self, config: Path, database: str) -> None:
        self._config = config
        self._environment = {**os.environ, "MDB_DATABASE_URL": database}
        self.processes: list[subprocess.Popen[bytes]] = []
        for _ in range(RELAYS):
            self.start()

    def start(self) -> None:
        command = [sys.executable, "-c", MAIN, "relay", str(self._config)]
        with self._config.with_suffix(".log").open("ab") as log:
            self.processes.append(
                subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
            )

    def end(self, process: subprocess.Popen[bytes], number: int) -> int:
        process.send_signal(number)
        self.processes.remove(process)
        return process.wait(PATIENCE)

    def end_all(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Iterator[CrashingServer]:
    """A server that no other test uses."""
    where = request.config.getoption("--postgres")
    if where == "docker":
        pytest.skip("Needs PostgreSQL's programs, to start a server")
    with tempfile.TemporaryDirectory(prefix="kills-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        server = CrashingServer(Path(folder), Path(where) if where else None)
        server.start()
        migrate.upgrade(create_engine(server.url, poolclass=NullPool))
        yield server
        server.stop()


@pytest.fixture(params=BROKERS)
def kept(request: pytest.FixtureRequest, name: str) -> Receiving:
    kind, server = BROKERS[request.param]
    receiving: Receiving = kind(request.getfixturevalue(server), name)
    asyncio.run(receiving.prepare())
    return receiving


def config_of(receiving: Any, category: str) -> str:
    of_kind: dict[type, tuple[str, dict[str, Any]]] = {
        FromNats: ("nats", {"stream": category}),
        FromRabbitMQ: ("rabbitmq", {}),
        FromRedis: ("redis", {}),
        FromKafka: ("kafka", {"idempotent": False}),
        FromConfluent: ("confluent", {"idempotent": False}),
        FromIdempotentKafka: ("kafka", {}),
        FromIdempotentConfluent: ("confluent", {}),
    }
    broker, values = of_kind[type(receiving)]
    address = "bootstrap_servers" if isinstance(receiving, FromKafka) else "url"
    values[address] = receiving.server.url
    told = "\n".join(f"{key} = {json.dumps(value)}" for key, value in values.items())
    return f"""
[relays.relay]
categories = ["{category}"]
in_flight = 20
batch_size = 50
timeout = 2.0
group = {{ slots = 4, lease = {LEASE} }}

[relays.relay.{broker}]
{told}
"""


def write_until(
    engine: Engine, category: str, every: float, ended: threading.Event, written: list[int]
) -> None:
    """Write a few messages at a time, with so many seconds between them."""
    chance = random.Random(SEED + 1)
    while not ended.wait(every):
        numbers = range(len(written), len(written) + chance.randrange(1, 12))
        write(
            engine, [(f"{category}-{chance.randrange(STREAMS)}", Message("T", n)) for n in numbers]
        )
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


def pause(chance: random.Random) -> None:
    threading.Event().wait(LEASE * (0.5 + 1.5 * chance.random()))


def disturb(
    what: str, relays: Relays, receiving: Receiving, database: CrashingServer, chance: random.Random
) -> None:
    """Do something bad to one of the processes, to the broker, or to the database."""
    assert all(each.poll() is None for each in relays.processes)  # none has ended by itself
    process = chance.choice(relays.processes)
    server = receiving.server
    broker = chance.choice(server.nodes) if isinstance(server, NatsCluster) else server
    if what == "kill":
        relays.end(process, signal.SIGKILL)
        relays.start()
    elif what == "stop":
        assert relays.end(process, signal.SIGTERM) in ENDED
        relays.start()
    elif what == "pause":
        process.send_signal(signal.SIGSTOP)
        pause(chance)
        process.send_signal(signal.SIGCONT)
    elif what == "kill broker":
        broker.kill()
        pause(chance)
        server.start()
    elif what == "pause broker":
        broker.pause()
        pause(chance)
        broker.resume()
    else:
        database.crash()
        pause(chance)
        database.start()


def left(engine: Engine) -> int:
    """How many messages lie before the position that is least far."""
    slots, messages = tables.consumer_slots.c, tables.messages.c
    least = select(func.min(slots.position)).scalar_subquery()
    beyond = select(func.count()).where(messages.global_position > least)
    with engine.connect() as connection:
        return int(connection.scalar(beyond) or 0)


def test_everything_arrives(
    kept: Receiving, database: CrashingServer, name: str, tmp_path: Path
) -> None:
    logging.getLogger(__name__).warning("MDB_RELAY_SEED=%d", SEED)
    chance = random.Random(SEED)
    config = tmp_path / "relay.toml"
    config.write_text(config_of(kept, name))
    engine = create_engine(database.url, poolclass=NullPool)
    ended, written, done = threading.Event(), list[int](), Counter[str]()
    relays, deck = Relays(config, database.url.render_as_string(hide_password=False)), list[str]()
    # It would not outlive a kill, and forgets much that nobody reads.
    is_cluster = isinstance(kept.server, KafkaCluster)
    disturbances = DISTURBANCES if is_cluster else [*DISTURBANCES, "kill broker"]
    # To read the whole of a long run takes tansu a time that grows with its square.
    every = max(0.01, SECONDS / 3000) if isinstance(kept.server, KafkaServer) else 0.01
    writer = threading.Thread(target=write_until, args=(engine, name, every, ended, written))
    writer.start()
    try:
        deadline = time.monotonic() + SECONDS
        # Until each has happened, however short.
        while time.monotonic() < deadline or done.keys() != set(disturbances):
            threading.Event().wait(chance.random() * 1.5)
            if not deck:
                deck = chance.sample(disturbances, len(disturbances))
                if is_cluster:
                    asyncio.run(kept.received())
            what = deck.pop()
            disturb(what, relays, kept, database, chance)
            done[what] += 1
        ended.set()
        writer.join(PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while unread := left(engine):
            assert time.monotonic() < deadline, (unread, config.with_suffix(".log").read_text())
            threading.Event().wait(0.1)
        for process in list(relays.processes):
            assert relays.end(process, signal.SIGTERM) in ENDED
    finally:
        ended.set()
        relays.end_all()
    found = asyncio.run(kept.received())
    logging.getLogger(__name__).warning(
        "%d messages, %d repeats, %s", len(written), len(found) - len(written), dict(done)
    )
    assert sorted({json.loads(told.body) for told in found}) == written
    assert_in_order(first_arrivals(found), len(written))
    if isinstance(kept, FromNats):
        assert len(found) == len(written)
