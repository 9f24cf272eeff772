"""Rebuilds of projections that are read from standbys."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, Engine, NullPool, create_engine, text

from mdb_sqla import Standbys, migrations
from mdb_sqla.projections import rebuild
from tests.cli.test_mdb import mdb
from tests.projections.conftest import Base, Shop, totals_of
from tests.standby.reading import Reads
from tests.standby.servers import Server, replication
from tests.waiting import wait_until

Servers = tuple[Server, list[Server]]

WHERE = "tests.projections.versions:new_totals"
EXPECTED = {str(number): (Decimal(10 * number), Decimal(1)) for number in range(1, 31)}

_numbers = count(1)


class Replicated:
    """A shop with 60 messages in a database of its own, on a primary server and its standbys."""

    def __init__(self, primary: Server, standbys: list[Server]) -> None:
        name = f"shop{next(_numbers)}"
        primary.query(f"CREATE DATABASE {name}")
        self.url = primary.address.url.set(database=name)
        self.standby_urls = [each.address.url.set(database=name) for each in standbys]
        self.standbys = standbys
        self.engine = create_engine(self.url)
        migrations.upgrade(self.engine)
        Base.metadata.create_all(self.engine)
        self.shop = Shop(self.engine)
        self.shop.place(range(1, 31))
        for standby in standbys:
            standby.wait_for(primary)

    def engines(self) -> list[Engine]:
        """Engines of the standbys."""
        return [create_engine(url, poolclass=NullPool) for url in self.standby_urls]

    def rows(self) -> dict[str, Any]:
        """The rows of version 2."""
        return self.shop.totals("order_totals_v2")

    def reads(self) -> tuple[int, int]:
        """How often messages were read on the primary server, and on the first standby."""
        self.engine.dispose()
        return _reads(self.url), _reads(self.standby_urls[0])


def _reads(url: URL) -> int:
    """The reads that a server has counted, when all who have read are gone."""
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    calls = (
        "SELECT coalesce(sum(calls), 0) FROM pg_stat_user_functions "
        "WHERE funcname = 'get_category_messages'"
    )
    with engine.connect() as connection:
        wait_until(lambda: connection.scalar(text(others)) == 1)
        return int(connection.scalar(text(calls)))


@pytest.fixture(scope="module")
def servers(request: pytest.FixtureRequest, folder: Path) -> Iterator[Servers]:
    with replication(request, folder, 2, track_functions="all") as servers:
        yield servers


@pytest.fixture
def replicated(servers: Servers) -> Iterator[Replicated]:
    found = Replicated(*servers)
    yield found
    found.engine.dispose()


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mdb_sqla.projections.fill_workers._BATCH_SIZE", 7)


@pytest.mark.usefixtures("small_batches")
def test_threads_read_from_all_standbys(replicated: Replicated) -> None:
    engines = replicated.engines()
    on_primary, *on_standbys = map(Reads, (replicated.engine, *engines))
    read_from = Standbys(*engines, max_wait=20)

    rebuilt = rebuild(replicated.engine, totals_of(2, factor=10), workers=3, read_from=read_from)

    assert rebuilt.messages == 60
    assert on_primary.number == 0
    assert all(reads.number > 0 for reads in on_standbys)
    # As if it were read on the primary server.
    rebuild(replicated.engine, totals_of(3, factor=10))
    assert on_primary.number > 0
    assert replicated.rows() == replicated.shop.totals("order_totals_v3") == EXPECTED


@pytest.mark.usefixtures("small_batches")
def test_a_standby_is_killed_while_threads_read(servers: Servers, replicated: Replicated) -> None:
    primary, (killed, _) = servers
    engine, _ = replicated.engines()
    on_primary, on_standby = Reads(replicated.engine), Reads(engine)
    # At the second read.
    on_standby.before(lambda: on_standby.before(killed.crash))
    try:
        rebuilt = rebuild(
            replicated.engine,
            totals_of(2, factor=10),
            read_from=Standbys(engine, max_wait=20),
        )
    finally:
        killed.start(primary.address)

    assert rebuilt.messages == 60
    assert on_standby.number >= 2
    assert on_primary.number > 0
    assert replicated.rows() == EXPECTED


def test_processes_read_from_a_standby(replicated: Replicated) -> None:
    engine, _ = replicated.engines()
    before = replicated.reads()

    rebuilt = rebuild(
        replicated.engine,
        totals_of(2, factor=10),
        where=WHERE,
        read_from=Standbys(engine, max_wait=20),
    )

    assert rebuilt.messages == 60
    on_primary, on_standby = replicated.reads()
    assert on_primary == before[0]
    # Each of two workers, in its own process.
    assert on_standby >= before[1] + 2
    assert replicated.rows() == EXPECTED


def test_a_standby_is_killed_while_processes_read(servers: Servers, replicated: Replicated) -> None:
    primary, (killed, _) = servers
    engine, _ = replicated.engines()
    before = replicated.reads()
    killed.pause_replay()
    readers = "SELECT count(*) FROM pg_stat_activity WHERE datname = :name"
    try:
        with ThreadPoolExecutor() as threads:
            running = threads.submit(
                rebuild,
                replicated.engine,
                totals_of(2, factor=10),
                where=WHERE,
                read_from=Standbys(engine, max_wait=20),
            )
            # Both wait for what it has not replayed.
            wait_until(lambda: killed.query(readers, name=replicated.url.database) == 2)
            killed.crash()
            rebuilt = running.result(20)
    finally:
        killed.stop()
        killed.start(primary.address)

    assert rebuilt.messages == 60
    assert replicated.reads()[0] > before[0]
    assert replicated.rows() == EXPECTED


def test_the_command(replicated: Replicated) -> None:
    before = replicated.reads()
    url = replicated.standby_urls[0].render_as_string(hide_password=False)

    done = mdb("projections", "rebuild", WHERE, "--read-from", url, url=replicated.url)

    assert "Applied 60 messages" in done.stderr
    on_primary, on_standby = replicated.reads()
    assert on_primary == before[0]
    assert on_standby > before[1]
    assert replicated.rows() == EXPECTED
