"""Consumers that read from standbys when a standby is promoted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import sessionmaker

from mdb_sqla import migrations
from tests.standby.reading import Reader, open_writer, write
from tests.standby.servers import Address, Server, replication
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def servers(request: pytest.FixtureRequest, folder: Path) -> Iterator[tuple[Server, list[Server]]]:
    with replication(request, folder, 2, max_prepared_transactions="5") as (primary, standbys):
        migrations.upgrade(primary.engine)
        yield primary, standbys


def test_a_standby_is_promoted_during_a_read(
    servers: tuple[Server, list[Server]], caplog: pytest.LogCaptureFixture
) -> None:
    primary, (standby, _) = servers
    write(primary.engine, "order-1", *range(10))
    reader = Reader(primary.address, standby)

    def promote() -> None:
        standby.promote()
        write(standby.engine, "order-2", *range(100, 110))

    reader.on_standbys[0].before(promote)

    assert reader.catch_up() == list(range(10))
    assert reader.on_standbys[0].number == 1
    assert reader.on_primary.number > 0
    assert [getattr(record, "reason", None) for record in caplog.records] == ["is no standby"]
    standby.stop()
    standby.copy(primary)
    standby.start(primary.address)


def test_a_standby_of_a_promoted_standby_is_not_read_from(
    servers: tuple[Server, list[Server]], caplog: pytest.LogCaptureFixture
) -> None:
    """It has the slot's row and the last message. What was open at the promotion, it never gets."""
    primary, (promoted, behind) = servers
    primary.query("TRUNCATE message_store.messages, message_store.consumer_slots")
    behind.stop()
    behind.start(promoted.address)
    write(primary.engine, "order-1", 0)
    reader = Reader(primary.address, behind, max_wait=0.5)
    running = threading.Thread(target=reader.consumer.run, args=(sessionmaker(reader.engine),))
    running.start()
    try:
        wait_until(lambda: reader.handled == [0])
        with open_writer(primary.engine, "order-2", 1) as connection:
            write(primary.engine, "order-3", 2)
            for standby in (promoted, behind):
                standby.wait_for(primary)
            promoted.promote()
            promoted.query("CREATE TABLE much AS SELECT generate_series(1, 100000)")
            behind.wait_for(promoted)
            connection.commit()
        wait_until(lambda: 2 in reader.handled)
    finally:
        reader.consumer.stop()
        running.join(20)
        reader.engine.dispose()
    assert reader.handled == [0, 1, 2]
    assert [getattr(record, "reason", None) for record in caplog.records] == ["lags"]
    for standby in (promoted, behind):
        standby.stop()
        standby.copy(primary)
        standby.start(primary.address)


def test_a_standby_of_the_old_primary_is_not_read_from(
    servers: tuple[Server, list[Server]], folder: Path
) -> None:
    """It has replayed more than the new primary has written, and has its last message.

    But it lacks one before that, which was prepared before the failover, and committed after it.
    And it has messages that the new primary has not.
    """
    old, (new, left) = servers
    front = Address(folder / "front")
    front.point_to(old.folder)
    reader = Reader(front, left, max_wait=0.1)
    old.query("TRUNCATE message_store.messages, message_store.consumer_slots")
    write(old.engine, "order-1", 0, 1)
    running = threading.Thread(target=reader.consumer.run, args=(sessionmaker(reader.engine),))
    running.start()
    try:
        wait_until(lambda: reader.handled == [0, 1])
        assert reader.on_standbys[0].number > 0
        with open_writer(old.engine, "order-2", 2) as connection:
            connection.exec_driver_sql("PREPARE TRANSACTION 'held'")
            connection.rollback()
        write(old.engine, "order-3", 3)
        for standby in (new, left):
            standby.wait_for(old)
        new.stop()
        write(old.engine, "order-4", *range(1000, 3000))
        left.wait_for(old)
        old.crash()
        new.start(old.address)
        new.promote()
        new.query("COMMIT PREPARED 'held'")
        assert left.query(
            "SELECT pg_last_wal_replay_lsn() > CAST(:written AS pg_lsn)",
            written=new.query("SELECT pg_current_wal_insert_lsn()::text"),
        )
        front.point_to(new.folder)
        wait_until(lambda: len(reader.handled) == 4)
        write(new.engine, "order-1", 4)
        wait_until(lambda: len(reader.handled) == 5)
    finally:
        reader.consumer.stop()
        running.join(20)
        reader.engine.dispose()
    assert reader.handled == [0, 1, 2, 3, 4]
