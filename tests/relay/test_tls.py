"""Brokers that speak TLS alone; whom to trust is said as for all of Python's clients."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.brokers.fixtures import running
from tests.brokers.nats_server import NatsServer
from tests.brokers.rabbitmq_server import RabbitmqServer
from tests.brokers.redis_server import RedisServer
from tests.brokers.tls import Tls
from tests.relay.receiving import FromNats, FromRabbitMQ, FromRedis, Receiving
from tests.waiting import wait_until

PATIENCE = 60.0  # seconds
KINDS: dict[str, tuple[Any, Any]] = {
    "nats": (FromNats, NatsServer),
    "rabbitmq": (FromRabbitMQ, RabbitmqServer),
    "redis": (FromRedis, RedisServer),
}


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tls:
    tls = Tls(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.authority))
    return tls


@pytest.fixture(params=KINDS)
def receiving(request: pytest.FixtureRequest, shop: Any, tls: Tls) -> Iterator[Receiving]:
    from_server, server = KINDS[request.param]
    with running(partial(server, tls)) as broker:
        receiving: Receiving = from_server(broker, shop.category)
        shop.run(receiving.prepare())
        yield receiving


def test_what_is_published_over_tls_arrives(shop: Any, receiving: Any, relays: Any) -> None:
    shop.write(1, "one")
    process = relays.start()
    wait_until(lambda: shop.position() == 1, PATIENCE)
    process.send_signal(signal.SIGTERM)

    assert process.wait(PATIENCE) == 0
    assert len(shop.run(receiving.received())) == 1


def test_who_is_not_trusted_gets_nothing(
    shop: Any, receiving: Any, relays: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.write(1, "one")
    with monkeypatch.context() as context:
        context.delenv("SSL_CERT_FILE")
        process = relays.start()
    wait_until(lambda: "is blocked" in relays.log, PATIENCE)
    process.send_signal(signal.SIGTERM)

    assert process.wait(PATIENCE) == 0
    assert "certificate verify failed" in " ".join(relays.log.split())
    assert shop.position() == 0
    assert shop.run(receiving.received()) == []
