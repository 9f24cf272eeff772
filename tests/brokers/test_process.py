"""The life of a broker: it ends with the tests, however they end."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.brokers import process
from tests.brokers.fixtures import running
from tests.brokers.redis_server import RedisServer
from tests.brokers.server import BrokerDidNotStart, Server, find
from tests.waiting import wait_until

# Starts a broker, tells where it is, and goes on until its input ends.
_OWNER = """
import sys
from importlib import import_module

broker = getattr(import_module(sys.argv[1]), sys.argv[2])().start()
getattr(broker, sys.argv[3])()
print(broker.folder, broker.url, flush=True)
sys.stdin.read()
"""


class Owner:
    """Another process, which has a broker and did something with it."""

    def __init__(self, kind: type[Server], deed: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _OWNER, kind.__module__, kind.__name__, deed],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        folder, url = self.process.stdout.readline().split()
        self.folder = Path(folder)
        address = urlsplit(url if "//" in url else f"//{url}")
        assert address.hostname is not None
        assert address.port is not None
        self.address = address.hostname, address.port

    def has_left_nothing(self) -> bool:
        try:
            socket.create_connection(self.address, timeout=1).close()
        except ConnectionRefusedError:
            return not self.folder.exists()
        except OSError:
            return False  # it is about to end, and not gone
        return False


@pytest.fixture(params=["nats_server", "rabbitmq_server", "redis_server", "kafka_server"])
def kind(request: pytest.FixtureRequest) -> type[Server]:
    """Each kind that is installed."""
    return type(request.getfixturevalue(request.param))


@pytest.mark.parametrize("deed", ["resume", "pause", "kill"])
def test_nothing_is_left_of_a_killed_process(kind: type[Server], deed: str) -> None:
    owner = Owner(kind, deed)
    owner.process.kill()
    owner.process.communicate()
    wait_until(owner.has_left_nothing)


def test_nothing_is_left_of_a_process_that_ends(kind: type[Server]) -> None:
    owner = Owner(kind, "resume")
    owner.process.communicate()
    assert owner.process.returncode == 0
    assert owner.has_left_nothing()


def test_a_stopped_broker_goes_on_where_it_was(kind: type[Server]) -> None:
    with kind() as broker:
        url = broker.url
        broker.stop()
        assert not broker.is_running
        broker.start()
        assert broker.is_running
        assert broker.url == url
    assert not broker.folder.exists()


def test_a_broker_that_does_not_start_says_why(redis_server: RedisServer) -> None:
    with RedisServer() as broker:
        broker.kill()
        with (
            socket.create_server(("127.0.0.1", urlsplit(broker.url).port or 0)),
            pytest.raises(BrokerDidNotStart, match="Address already in use"),
        ):
            broker.start()


def test_each_port_belongs_to_one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "3")
    ports: list[int] = []
    for worker in ("gw0", "gw1", "gw2"):
        monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
        ports += process._ports()

    assert sorted(ports) == list(range(10_000, 15_000))


class Absent(Server):
    def __init__(self) -> None:
        find("absent-server", "absent-package")


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip), ("true", pytest.fail)])
def test_a_missing_broker(monkeypatch: pytest.MonkeyPatch, ci: str, outcome: Any) -> None:
    monkeypatch.setenv("CI", ci)
    told = "absent-server is not installed.*apt-get install --no-install-recommends absent-package"
    with pytest.raises(outcome.Exception, match=told), running(Absent):
        pass
