"""Real brokers, each started when a test first asks for it, and running when a test begins.

What a test publishes stays, so it takes names of its own. It may kill, stop and pause a broker.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from uuid import uuid4

import pytest

from tests.brokers.kafka_cluster import KafkaCluster
from tests.brokers.kafka_server import KafkaServer
from tests.brokers.nats_server import NatsCluster, NatsServer
from tests.brokers.rabbitmq_server import RabbitmqServer
from tests.brokers.redis_server import RedisServer
from tests.brokers.server import MissingBroker, Server

Broker = TypeVar("Broker", bound=Server | NatsCluster)


@pytest.fixture
def name() -> str:
    """A name that no other test has."""
    return f"test_{uuid4().hex}"


@contextmanager
def running(kind: Callable[[], Broker]) -> Iterator[Broker]:
    """A broker of this kind; without its program the test fails in CI and is skipped elsewhere."""
    try:
        broker = kind()
    except MissingBroker as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    with broker:
        yield broker


@pytest.fixture(scope="session")
def shared_nats_server() -> Iterator[NatsServer]:
    with running(NatsServer) as server:
        yield server


@pytest.fixture
def nats_server(shared_nats_server: NatsServer) -> NatsServer:
    return shared_nats_server.start()


@pytest.fixture(scope="session")
def shared_nats_cluster() -> Iterator[NatsCluster]:
    with running(NatsCluster) as cluster:
        yield cluster


@pytest.fixture
def nats_cluster(shared_nats_cluster: NatsCluster) -> NatsCluster:
    return shared_nats_cluster.start()


@pytest.fixture(scope="session")
def shared_rabbitmq_server() -> Iterator[RabbitmqServer]:
    with running(RabbitmqServer) as server:
        yield server


@pytest.fixture
def rabbitmq_server(shared_rabbitmq_server: RabbitmqServer) -> RabbitmqServer:
    return shared_rabbitmq_server.start()


@pytest.fixture(scope="session")
def shared_redis_server() -> Iterator[RedisServer]:
    with running(RedisServer) as server:
        yield server


@pytest.fixture
def redis_server(shared_redis_server: RedisServer) -> RedisServer:
    return shared_redis_server.start()


@pytest.fixture(scope="session")
def shared_kafka_server() -> Iterator[KafkaServer]:
    with running(KafkaServer) as server:
        yield server


@pytest.fixture
def kafka_server(shared_kafka_server: KafkaServer) -> KafkaServer:
    return shared_kafka_server.start()


@pytest.fixture(scope="session")
def shared_kafka_cluster() -> Iterator[KafkaCluster]:
    with running(KafkaCluster) as cluster:
        yield cluster


@pytest.fixture
def kafka_cluster(shared_kafka_cluster: KafkaCluster) -> KafkaCluster:
    return shared_kafka_cluster.start()
