"""Several jobs at once, and jobs beside writers, administration and locks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import Engine, TextClause, create_engine, text

from mdb_sqla import admin, retention, tables
from tests.retention.conftest import Store

NOW = timedelta(microseconds=1)


def test_jobs_at_once_delete_each_message_once(store: Store) -> None:
    for number in range(40):
        store.write(f"order-{number % 4}", 5)
    store.policy("order", keep_age=NOW)
    with ThreadPoolExecutor() as pool:
        jobs = [pool.submit(retention.run, store.engine, batch_size=7) for _ in range(4)]
        deleted = [job.result()[0].messages for job in jobs]

    assert sum(deleted) == 200
    assert store.left() == []
    assert sorted(store.rows(tables.stream_heads)) == [(f"order-{n}", 49) for n in range(4)]
    assert sum(row[7] for row in store.rows(tables.deletions)) == 200
    assert store.is_sound()


def test_two_transactions_that_delete_the_last_two(store: Store) -> None:
    """Each would see the other's message, and leave the stream without a head."""
    store.write("order-1", 2)
    one, two = (
        text("SELECT message_store.delete_messages(ARRAY[1::bigint])"),
        text("SELECT message_store.delete_messages(ARRAY[2::bigint])"),
    )
    with store.engine.connect() as first, ThreadPoolExecutor() as pool:
        first.execute(one)
        second = pool.submit(_execute, store.engine, two)
        _wait_until_blocked(store.engine)
        first.commit()
        second.result(20)
    assert store.left() == []
    assert store.rows(tables.stream_heads) == [("order-1", 1)]


def test_writers_and_readers_do_not_wait(store: Store) -> None:
    store.write("order-1", 3)
    store.write("order-2", 1)
    with store.engine.connect() as deleting:
        deleting.execute(text("SELECT message_store.delete_messages(ARRAY[1, 2, 3]::bigint[])"))
        impatient = create_engine(store.engine.url, connect_args={"options": "-c lock_timeout=1s"})
        Store(impatient).write("order-1", 2)
        Store(impatient).write("order-2", 1)
        assert len(Store(impatient).left()) == 7
        Store(impatient).consume("billing", "order")
        impatient.dispose()
        deleting.commit()
    assert store.left() == [("order-2", 0), ("order-1", 3), ("order-1", 4), ("order-2", 1)]
    assert store.rows(tables.stream_heads) == [("order-1", 2)]
    assert store.is_sound()


def test_a_deletion_that_is_rolled_back(store: Store) -> None:
    store.write("order-1", 2)
    with store.engine.connect() as deleting:
        deleting.execute(text("SELECT message_store.delete_messages(ARRAY[1, 2]::bigint[])"))
        deleting.rollback()
    store.write("order-1", 1)
    assert [position for _, position in store.left()] == [0, 1, 2]
    assert store.rows(tables.stream_heads) == []


@pytest.mark.parametrize("granularity", ["category", "stream"])
def test_a_job_beside_a_switch_of_the_granularity(store: Store, granularity: str) -> None:
    store.write("order-1", 50)
    store.policy("order", keep_age=NOW)
    with ThreadPoolExecutor() as pool:
        job = pool.submit(retention.run, store.engine, batch_size=1)
        admin.set_lock_granularity(store.engine, granularity)
        store.write("order-1", 1)
        assert job.result()[0].messages in {50, 51}
    assert store.is_sound()
    admin.set_lock_granularity(store.engine, "stream")


def test_all_messages_are_deleted_with_their_heads(store: Store) -> None:
    store.write("order-1", 2)
    store.policy("order", keep_age=NOW)
    retention.run(store.engine)
    with store.engine.begin() as connection:
        admin.clear(connection)
    store.write("order-1", 1)
    assert store.left() == [("order-1", 0)]
    assert store.rows(tables.deleted_positions) == []


def _execute(engine: Engine, statement: TextClause) -> None:
    with engine.begin() as connection:
        connection.execute(statement)


def _wait_until_blocked(engine: Engine) -> None:
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND wait_event_type = 'Lock'"
    )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while connection.scalar(waiting) == 0:
            connection.execute(text("SELECT pg_sleep(0.005)"))
