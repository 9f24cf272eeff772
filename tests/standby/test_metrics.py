"""What a host exports of the servers that its consumers read from."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import NullPool, create_engine
from sqlalchemy.orm import sessionmaker

from mdb_sqla import Consumer, Host, Standbys, migrations
from mdb_sqla.store.standbys import Standby
from tests.host.conftest import PATIENCE, Supervisor, supervisor
from tests.standby.reading import write
from tests.standby.servers import Server, replication
from tests.waiting import wait_until

__all__ = ["supervisor"]

Servers = tuple[Server, list[Server]]


@pytest.fixture(scope="module")
def servers(request: pytest.FixtureRequest, folder: Path) -> Iterator[Servers]:
    with replication(request, folder, 2) as (primary, standbys):
        migrations.upgrade(primary.engine)
        yield primary, standbys


class Exported:
    """What the host exports of the consumer at this moment, by server."""

    def __init__(self, supervisor: Supervisor) -> None:
        url = supervisor.url.removesuffix("/health") + "/metrics"
        with urllib.request.urlopen(url, timeout=PATIENCE) as response:
            self._families = list(text_string_to_metric_families(response.read().decode()))
        self.available = self._by_server("mdb_sqla_consumer_standby_available")
        self.reads = self._by_server("messaging_client_operation_duration_seconds_count")

    def _by_server(self, name: str) -> dict[str, float]:
        return {
            sample.labels["messaging_mdb_sqla_server"]: sample.value
            for family in self._families
            for sample in family.samples
            if sample.name == name and sample.labels["messaging_consumer_group_name"] == "metered"
        }


def test_which_servers_serve_reads(
    servers: Servers, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mdb_sqla.store.standbys._FIRST_RETRY", 0.0)
    monkeypatch.setattr("mdb_sqla.store.standbys._LONGEST_RETRY", 0.0)
    primary, (first, second) = servers
    engines = [create_engine(each.address.url, poolclass=NullPool) for each in (first, second)]
    one, other = (Standby(engine).name for engine in engines)
    consumer = Consumer(
        "metered", "order", poll_interval=(0.005, 0.05), read_from=Standbys(*engines, max_wait=20)
    )
    handled: list[Any] = []
    written: list[Any] = []
    consumer.on("T")(lambda message, _: handled.append(message.data))

    def handle(number: int) -> Exported:
        for _ in range(number):
            write(primary.engine, "order-1", 1)
            written.append(1)
            wait_until(lambda: handled == written)
        return Exported(supervisor)

    def look() -> None:
        found = handle(4)
        assert found.available == {one: 1, other: 1}
        assert found.reads.keys() <= {one, other}
        assert sum(found.reads.values()) == 4
        first.stop()
        before = found.reads
        found = handle(2)
        assert found.available == {one: 0, other: 1}
        assert found.reads == {**before, other: before.get(other, 0) + 2}
        assert supervisor.consumer()["standbys"] == {one: False, other: True}
        second.stop()
        before = found.reads
        found = handle(3)
        assert found.available == {one: 0, other: 0}
        assert found.reads == {**before, "primary": 3}
        first.start(primary.address)
        first.wait_for(primary)
        found = handle(1)
        assert found.available == {one: 1, other: 0}
        assert found.reads["primary"] == 3

    engine = create_engine(primary.address.url)
    supervisor.watch(Host(sessionmaker(engine), consumer, http=0), look)
    engine.dispose()


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("one:5433/shop", "one:5433/shop"),
        ("/shop?host=/run&port=5433", "/run:5433/shop"),
        ("/shop?host=one:5433&host=two:5434", "one:5433,two:5434/shop"),
        ("user:secret@one/shop", "one:5432/shop"),
    ],
)
def test_the_address_of_a_standby(address: str, name: str) -> None:
    url = f"postgresql+psycopg://{address}"
    assert Standby(create_engine(url)).name == name
