"""Consumers that read from standbys which lag, are down, are killed or belong to others."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import NullPool, create_engine, event, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session

from mdb_sqla import (
    Consumer,
    Group,
    InvalidArgument,
    MessagesDeleted,
    SlotLost,
    Standbys,
    migrations,
)
from mdb_sqla.admin import set_lock_granularity
from mdb_sqla.consumers.claims import claim
from tests.projections.conftest import Base, Shop, totals_of
from tests.standby.reading import Reader, Reads, open_writer, write
from tests.standby.servers import Server, replication
from tests.waiting import wait_until

Servers = tuple[Server, list[Server]]


@pytest.fixture(scope="module")
def replicated(request: pytest.FixtureRequest, folder: Path) -> Iterator[Servers]:
    # For seconds, nothing writes what no commit waits for to disk.
    settings = {"wal_writer_delay": "10s", "bgwriter_delay": "10s"}
    with replication(request, folder, 2, **settings) as (primary, standbys):
        migrations.upgrade(primary.engine)
        for standby in standbys:
            standby.wait_for(primary)
        yield primary, standbys


@pytest.fixture
def servers(replicated: Servers) -> Iterator[Servers]:
    yield replicated
    with replicated[0].engine.begin() as connection:
        connection.execute(
            text(
                "TRUNCATE message_store.messages, message_store.consumer_slots, "
                "message_store.consumer_members, message_store.consumers, "
                "message_store.deleted_positions"
            )
        )


def events(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str | None]]:
    return [
        (name, getattr(record, "reason", None))
        for record in caplog.records
        if (name := getattr(record, "event", "")).startswith("standby.")
    ]


@pytest.mark.parametrize("granularity", ["category", "stream"])
@pytest.mark.parametrize(
    ("categories", "arguments", "expected"),
    [
        (("order",), {}, [*range(20), *range(60, 80)]),
        (("order", "other"), {"group": Group(slots=3)}, range(80)),
        ((), {"batch_size": 30, "transaction_size": 7}, range(80)),
        (("order",), {"correlation": "nobody"}, []),
    ],
)
def test_only_standbys_are_read_from(
    servers: Servers, granularity: str, categories: Any, arguments: Any, expected: Any
) -> None:
    primary, standbys = servers
    set_lock_granularity(primary.engine, granularity)
    write(primary.engine, "order-1", *range(20))
    for number in range(20, 60, 10):
        write(primary.engine, f"other-{number}", *range(number, number + 10))
    write(primary.engine, "order-2", *range(60, 80))
    reader = Reader(primary.address, *standbys, categories=categories, **arguments)

    assert sorted(reader.catch_up()) == list(expected)
    assert sum(reads.number for reads in reader.on_standbys) > 0
    assert reader.on_primary.number == 0
    # There is nothing more, and no standby is asked.
    before = sum(reads.number for reads in reader.on_standbys)
    reader.catch_up()
    assert sum(reads.number for reads in reader.on_standbys) == before


def test_an_async_consumer_reads_from_standbys(servers: Servers) -> None:
    primary, standbys = servers
    write(primary.engine, "order-1", *range(50))
    handled: list[Any] = []

    async def run() -> None:
        url = primary.address.url.set(drivername="postgresql+asyncpg")
        there = standbys[0].address.url.set(drivername="postgresql+asyncpg")
        engine = create_async_engine(url)
        reads_from = create_async_engine(there, poolclass=NullPool)
        on_standby = Reads(reads_from.sync_engine)
        consumer = Consumer(
            "billing", "order", read_from=Standbys(reads_from, max_wait=20), transaction_size=10
        )

        @consumer.on("T")
        async def handle(message: Any, _unit: Any) -> None:
            handled.append(message.data)

        await consumer.catch_up_async(async_sessionmaker(engine))
        await engine.dispose()
        assert on_standby.number == 1

    asyncio.run(run())
    assert handled == list(range(50))


def test_a_projection_reads_from_standbys(servers: Servers) -> None:
    primary, (standby, _) = servers
    shop = Shop(create_engine(primary.address.url))
    Base.metadata.create_all(shop.engine)
    there = create_engine(standby.address.url, poolclass=NullPool)
    on_primary, on_standby = Reads(shop.engine), Reads(there)
    shop.place(range(1, 11))

    totals_of().consumer(read_from=Standbys(there, max_wait=20)).catch_up(shop.factory)

    expected = {str(number): (Decimal(number), Decimal(1)) for number in range(1, 11)}
    assert shop.totals() == expected
    assert (on_primary.number, on_standby.number) == (0, 1)
    shop.engine.dispose()


def test_a_consumer_waits_for_a_standby_that_lags(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    primary, (standby, _) = servers
    write(primary.engine, "order-1", *range(10))
    standby.wait_for(primary)
    standby.pause_replay()
    write(primary.engine, "order-1", *range(10, 20))
    reader = Reader(primary.address, standby)
    with ThreadPoolExecutor() as threads:
        running = threads.submit(reader.catch_up)
        try:
            wait_until(lambda: reader.on_standbys[0].asked > 3)
            assert not running.done()
            assert reader.handled == []
        finally:
            standby.resume_replay()
        assert running.result(20) == list(range(20))
    assert reader.on_primary.number == 0
    assert events(caplog) == []


def test_the_primary_serves_while_all_standbys_lag(
    servers: Servers, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mdb_sqla.store.standbys._FIRST_RETRY", 0.0)
    monkeypatch.setattr("mdb_sqla.store.standbys._LONGEST_RETRY", 0.0)
    caplog.set_level(logging.INFO)
    primary, standbys = servers
    reader = Reader(primary.address, *standbys, max_wait=0.05)
    for standby in standbys:
        standby.pause_replay()
    try:
        write(primary.engine, "order-1", *range(10))
        assert reader.catch_up() == list(range(10))
        assert reader.on_primary.number > 0
        assert events(caplog) == [("standby.unavailable", "lags")] * 2
    finally:
        for standby in standbys:
            standby.resume_replay()
    for standby in standbys:
        standby.wait_for(primary)
    write(primary.engine, "order-1", *range(10, 20))
    before = reader.on_primary.number
    reader.standbys.max_wait = 20.0

    assert reader.catch_up() == list(range(20))
    assert reader.on_primary.number == before
    assert ("standby.available", None) in events(caplog)


def test_a_standby_that_holds_a_lock_is_not_waited_for(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    """It has replayed that a transaction has locked a table, and not yet that it has ended."""
    primary, (standby, _) = servers
    write(primary.engine, "order-1", *range(10))
    reader = Reader(primary.address, standby, max_wait=0.2)

    def lock() -> None:
        with primary.engine.connect() as connection:
            connection.execute(text("LOCK message_store.messages"))
            standby.wait_for(primary)
            standby.pause_replay()

    reader.on_standbys[0].before(lock, "concat(")
    try:
        assert reader.catch_up() == list(range(10))
    finally:
        standby.resume_replay()
    assert events(caplog) == [("standby.unavailable", "lags")]


def test_one_standby_serves_while_another_is_down(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    primary, (down, up) = servers
    down.stop()
    try:
        reader = Reader(primary.address, down, up, batch_size=10)
        write(primary.engine, "order-1", *range(50))
        assert reader.catch_up() == list(range(50))
    finally:
        down.start(primary.address)
    assert reader.on_primary.number == 0
    assert reader.on_standbys[1].number >= 5
    assert events(caplog) == [("standby.unavailable", "can't be read")]
    assert "ERROR" not in caplog.text


def test_a_standby_is_killed_during_a_read(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    primary, (killed, up) = servers
    reader = Reader(primary.address, killed, up)
    write(primary.engine, "order-1", *range(50))
    reader.on_standbys[0].before(killed.crash)
    try:
        assert reader.catch_up() == list(range(50))
    finally:
        killed.start(primary.address)
    assert [reads.number for reads in reader.on_standbys] == [1, 1]
    assert events(caplog) == [("standby.unavailable", "can't be read")]


def test_a_cancelled_query_is_repeated(servers: Servers, caplog: pytest.LogCaptureFixture) -> None:
    """The standby cancels a query that still sees what a vacuum has removed."""
    primary, (standby, _) = servers
    with primary.engine.begin() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS removed (number int)"))
        connection.execute(text("INSERT INTO removed SELECT generate_series(1, 100)"))
    write(primary.engine, "order-1", *range(60))
    standby.wait_for(primary)
    slow = "pg_sleep(0.01) IS NOT NULL"
    reader = Reader(primary.address, standby, condition=slow)
    for engine in (reader.engine, *(each.engine for each in reader.standbys.next_turn())):
        _allow_conditions(engine)
    vacuumed: list[bool] = []

    def vacuum() -> None:
        wait_until(lambda: _is_reading(standby))
        primary.query("DELETE FROM removed")
        primary.query("VACUUM removed")
        vacuumed.append(True)

    with ThreadPoolExecutor() as threads:

        def later() -> None:
            threads.submit(vacuum)

        reader.on_standbys[0].before(later)
        assert reader.catch_up() == list(range(60))
    assert vacuumed
    assert standby.query("SELECT sum(confl_snapshot) FROM pg_stat_database_conflicts") > 0
    assert reader.on_standbys[0].number == 2
    assert reader.on_primary.number == 0
    assert events(caplog) == []


def _allow_conditions(engine: Any) -> None:
    @event.listens_for(engine, "connect")
    def allow(connection: Any, _record: Any) -> None:
        connection.execute("SET message_store.sql_condition = on")
        connection.commit()


def _is_reading(server: Server) -> bool:
    return bool(
        server.query(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE state = 'active' AND query ~ 'get_category_messages' "
            "AND wait_event = 'PgSleep'"
        )
    )


def test_what_does_not_wait_for_the_disk_is_not_skipped(servers: Servers) -> None:
    """A later position is on the standby, and an earlier one is still in the primary's memory."""
    primary, (standby, _) = servers
    set_lock_granularity(primary.engine, "stream")
    # The first batch has one message, and what is saved with it is written to disk.
    reader = Reader(primary.address, standby, batch_size=1, max_wait=2)
    write(primary.engine, "order-1", 1)
    with open_writer(primary.engine, "order-2", 2) as connection:
        connection.execute(text("SET LOCAL synchronous_commit = off"))
        write(primary.engine, "order-3", 3)
        standby.wait_for(primary)

        def at_the_second_batch() -> None:
            reader.on_primary.before(connection.commit, "read_bound")

        reader.on_primary.before(at_the_second_batch, "read_bound")

        # Nothing else would write it to disk for seconds.
        assert reader.catch_up() == [1, 2, 3]
    assert reader.on_primary.number == 0


@pytest.mark.parametrize("granularity", ["category", "stream"])
def test_a_batch_ends_where_the_primary_said(servers: Servers, granularity: str) -> None:
    primary, (standby, _) = servers
    set_lock_granularity(primary.engine, granularity)
    reader = Reader(primary.address, standby)
    write(primary.engine, "order-1", 1)

    def write_another() -> None:
        write(primary.engine, "order-1", 2)
        standby.wait_for(primary)

    reader.on_standbys[0].before(write_another)
    assert reader.catch_up() == [1]
    assert reader.catch_up() == [1, 2]


@pytest.mark.parametrize("granularity", ["category", "stream"])
def test_a_reader_stops_at_an_open_writer(servers: Servers, granularity: str) -> None:
    primary, (standby, _) = servers
    set_lock_granularity(primary.engine, granularity)
    reader = Reader(primary.address, standby, categories=("order", "other"))
    write(primary.engine, "order-1", 1)
    with open_writer(primary.engine, "order-2", 2) as connection:
        write(primary.engine, "other-1", 3)
        assert reader.catch_up() == [1]
        connection.commit()
    assert reader.catch_up() == [1, 2, 3]
    assert reader.on_primary.number == 0


@pytest.mark.parametrize(("with_gap", "expected"), [(False, 1), (True, 3)])
def test_a_read_writes_to_the_primary_only_where_positions_are_missing(
    servers: Servers, with_gap: bool, expected: int
) -> None:
    primary, (standby, _) = servers
    reader = Reader(primary.address, standby, batch_size=10)
    marks: list[str] = []

    @event.listens_for(reader.engine, "before_cursor_execute")
    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "SET updated_at=" in statement and "RETURNING" in statement:
            marks.append(statement)

    write(primary.engine, "order-1", *range(25))
    if with_gap:
        with open_writer(primary.engine, "order-2", 100):
            pass
    write(primary.engine, "order-1", *range(25, 35))

    assert reader.catch_up() == list(range(35))
    # One before the first read, and one before each that includes the gap.
    assert len(marks) == expected
    assert reader.on_primary.number == 0


def test_messages_that_are_deleted_during_the_read_are_noticed(servers: Servers) -> None:
    primary, (standby, _) = servers
    write(primary.engine, "order-1", *range(10))
    reader = Reader(primary.address, standby)

    def delete() -> None:
        with primary.engine.begin() as connection:
            connection.execute(
                text(
                    "SELECT message_store.delete_messages(array_agg(global_position)) "
                    "FROM message_store.messages WHERE position < 5"
                )
            )
            connection.execute(
                text(
                    "INSERT INTO message_store.deleted_positions (category, global_position) "
                    "SELECT 'order', min(global_position) - 1 FROM message_store.messages"
                )
            )
        standby.wait_for(primary)

    reader.on_standbys[0].before(delete)
    with pytest.raises(MessagesDeleted):
        reader.catch_up()
    assert reader.handled == []


def test_another_process_claims_the_slot_during_the_read(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    """The standbys are not at fault: they show the other's claim, and it is not waited for."""
    primary, standbys = servers
    write(primary.engine, "order-1", *range(10))
    reader = Reader(primary.address, *standbys)

    def claim_it() -> None:
        with Session(primary.engine) as session:
            claim(session, "billing", 0, 1, 0)
            session.commit()
        for standby in standbys:
            standby.wait_for(primary)

    reader.on_standbys[0].before(claim_it, "concat(")
    with pytest.raises(SlotLost):
        reader.catch_up()
    assert reader.handled == []
    assert [reads.asked for reads in reader.on_standbys] == [1, 1]
    assert events(caplog) == []


@pytest.mark.parametrize("max_wait", [1e9, math.inf])
def test_standbys_may_be_waited_for_as_long_as_it_takes(
    servers: Servers, max_wait: float, caplog: pytest.LogCaptureFixture
) -> None:
    primary, (standby, _) = servers
    write(primary.engine, "order-1", *range(10))
    reader = Reader(primary.address, standby, max_wait=max_wait)
    assert reader.catch_up() == list(range(10))
    assert reader.on_primary.number == 0
    assert events(caplog) == []


def test_others_are_not_read_from(servers: Servers, caplog: pytest.LogCaptureFixture) -> None:
    """The primary server itself, another database, and one without a store."""
    primary, (standby, _) = servers
    if not primary.query("SELECT count(*) FROM pg_database WHERE datname = 'other'"):
        primary.query("CREATE DATABASE other")
        primary.query("CREATE DATABASE nothing")
    url = primary.address.url
    other = create_engine(url.set(database="other"), poolclass=NullPool)
    migrations.upgrade(other)
    write(other, "order-1", *range(100, 110))
    write(primary.engine, "order-1", *range(10))
    standby.wait_for(primary)
    there = standby.address.url
    for number, (wrong, reason) in enumerate(
        (
            (url, "is no standby"),
            (there.set(database="nothing"), "can't be read"),
            (there.set(database="other"), "lags"),
        )
    ):
        caplog.clear()
        reader = Reader(primary.address, standby, max_wait=0.2)
        engine = create_engine(wrong, poolclass=NullPool)
        consumer = Consumer(f"c{number}", "order", read_from=Standbys(engine, max_wait=0.2))
        consumer.on("T")(lambda message, _, r=reader: r.handled.append(message.data))
        reader.consumer = consumer
        assert reader.catch_up() == list(range(10))
        assert reader.on_primary.number > 0
        assert events(caplog) == [("standby.unavailable", reason)]
        # It can't pass by itself that there is no store.
        assert ("ERROR" in caplog.text) == (reason == "can't be read")


def test_arguments() -> None:
    engine = create_engine("postgresql+psycopg://")
    with pytest.raises(InvalidArgument, match="at least one standby"):
        Standbys()
    with pytest.raises(InvalidArgument, match="an Engine or an AsyncEngine"):
        Standbys("postgresql://")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="max_wait"):
        Standbys(engine, max_wait=-1)
    with pytest.raises(InvalidArgument, match="read_from"):
        Consumer("billing", "order", read_from=engine)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="must have async engines"):
        Standbys(engine).check(is_async=True)
