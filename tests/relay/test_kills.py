"""Relays, their broker and their database are killed and paused: everything arrives, in order.

MDB_RELAY_SECONDS says for how long at each broker, MDB_RELAY_SEED repeats the choices of a run.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, NullPool, case, create_engine, func, select

from mdb_sqla import migrations, tables
from tests.brokers.kafka_cluster import KafkaCluster
from tests.brokers.kafka_server import KafkaServer
from tests.brokers.nats_server import NatsCluster
from tests.crashing import CrashingServer
from tests.disturbing import LEASE, PATIENCE, Processes, Writer, crashing_server, dealt, pause
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
from tests.relay.relays import MAIN
from tests.relay.test_outages import assert_in_order, first_arrivals

SECONDS = float(os.environ.get("MDB_RELAY_SECONDS", "8"))
SEED = int(os.environ.get("MDB_RELAY_SEED", random.SystemRandom().randrange(2**32)))
RELAYS = 2
STREAMS = 30
SLOTS = 4
DISTURBANCES = ["kill", "kill", "kill", "stop", "pause", "pause broker", "crash"]

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


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Iterator[CrashingServer]:
    with crashing_server(request) as server:
        migrations.upgrade(create_engine(server.url, poolclass=NullPool))
        yield server


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
max_in_flight = 20
batch_size = 50
timeout = 2.0
group = {{ slots = {SLOTS}, lease = {LEASE} }}

[relays.relay.{broker}]
{told}
"""


def disturb(
    what: str,
    relays: Processes,
    receiving: Receiving,
    database: CrashingServer,
    chance: random.Random,
) -> None:
    """Do something bad to one of the processes, to the broker, or to the database."""
    server = receiving.server
    broker = chance.choice(server.nodes) if isinstance(server, NatsCluster) else server
    if what == "kill broker":
        broker.kill()
        pause(chance)
        server.start()
    elif what == "pause broker":
        broker.pause()
        pause(chance)
        broker.resume()
    elif what == "crash":
        database.crash()
        pause(chance)
        database.start()
    else:
        relays.disturb(what, chance)


def left(engine: Engine) -> int:
    """How many messages lie before the position that is least far; all before a relay has begun."""
    slots, messages = tables.consumer_slots.c, tables.messages.c
    # A slot that no relay has acquired yet has no row.
    is_shared = func.count() == SLOTS
    least = select(case((is_shared, func.min(slots.position)), else_=0)).scalar_subquery()
    beyond = select(func.count()).where(messages.global_position > least)
    with engine.connect() as connection:
        return int(connection.scalar(beyond) or 0)


def test_everything_arrives(
    kept: Receiving, database: CrashingServer, name: str, tmp_path: Path
) -> None:
    logging.getLogger(__name__).warning("MDB_RELAY_SEED=%d", SEED)
    chance = random.Random(SEED)
    done = Counter[str]()
    log = tmp_path / "relay.log"
    config = tmp_path / "relay.toml"
    config.write_text(config_of(kept, name))
    url = database.url.render_as_string(hide_password=False)
    engine = create_engine(database.url, poolclass=NullPool)
    # It would not outlive a kill, and forgets much that nobody reads.
    is_cluster = isinstance(kept.server, KafkaCluster)
    disturbances = DISTURBANCES if is_cluster else [*DISTURBANCES, "kill broker"]
    # To read the whole of a long run takes tansu a time that grows with its square.
    every = max(0.01, SECONDS / 3000) if isinstance(kept.server, KafkaServer) else 0.01

    def launch(_: int) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "MDB_DATABASE_URL": url}
        command = [sys.executable, "-c", MAIN, "relay", str(config)]
        with log.open("ab") as output:
            return subprocess.Popen(command, env=environment, stdout=output, stderr=output)

    with Processes(RELAYS, launch) as relays:
        with Writer(engine, name, streams=STREAMS, seed=SEED + 1, every=every) as writer:
            for what in dealt(disturbances, SECONDS, chance):
                disturb(what, relays, kept, database, chance)
                done[what] += 1
                if is_cluster:
                    asyncio.run(kept.received())
        deadline = time.monotonic() + PATIENCE
        while unread := left(engine):
            assert time.monotonic() < deadline, (unread, log.read_text())
            threading.Event().wait(0.1)
        relays.stop()
    found, written = asyncio.run(kept.received()), writer.written
    logging.getLogger(__name__).warning(
        "%d messages, %d repeats, %s", len(written), len(found) - len(written), dict(done)
    )
    assert sorted({json.loads(told.body) for told in found}) == written
    assert_in_order(first_arrivals(found), len(written))
    if isinstance(kept, FromNats):
        assert len(found) == len(written)
