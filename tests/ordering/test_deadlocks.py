"""Transactions that write to the same streams in opposite orders never wait for each other."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import URL, create_engine
from sqlalchemy.orm import sessionmaker

from mdb_sqla import NO_STREAM, Message, TransactionConflict, UnitOfWork
from mdb_sqla.store.copy_writes import COPY_THRESHOLD
from tests.ordering.interleavings import set_granularity
from tests.ordering.stage import Edit, stage

CLIENTS = 6
TRANSACTIONS = 100
PATIENCE = 60.0  # seconds

LOCK = "lock_streams(text[])"
WRITE_ALL = "write_messages(jsonb, jsonb, boolean)"

# Between any two locks there is time for another transaction.
SLOWLY: tuple[Edit, ...] = (
    (
        LOCK,
        "ELSE pg_advisory_xact_lock(key)\n  END\n",
        "ELSE pg_advisory_xact_lock(key)\n  END, pg_sleep(0.002)\n",
    ),
    (
        LOCK,
        "    PERFORM pg_advisory_xact_lock(key)\n",
        "    PERFORM pg_advisory_xact_lock(key), pg_sleep(0.002)\n",
    ),
)
# The locks in the order of the messages.
UNSORTED: tuple[Edit, ...] = (
    (LOCK, "SELECT DISTINCT message_store.hash_64", "SELECT message_store.hash_64"),
    (LOCK, "    WHERE name IS NOT NULL\n    ORDER BY 1\n", "    WHERE name IS NOT NULL\n"),
    (LOCK, "= ANY (_by_stream)\n      ORDER BY 1\n", "= ANY (_by_stream)\n"),
    (WRITE_ALL, "      UNION\n      SELECT jsonb_object_keys(expected_versions)\n", ""),
)

CATEGORIES = ["a-1", "b-1"]
STREAMS = ["a-1", "a-2"]
PLACES = [("category", CATEGORIES), ("stream", CATEGORIES), ("stream", STREAMS)]

Places = pytest.mark.parametrize(
    ("granularity", "streams"),
    PLACES,
    ids=[f"{granularity}, {' and '.join(streams)}" for granularity, streams in PLACES],
)


def contend(url: URL, streams: list[str], until_deadlock: bool = False) -> Counter[str]:
    """Let clients write to these streams, each in an order of its own, and count what happens."""
    counts: Counter[str] = Counter()
    begin = time.monotonic()

    def over() -> bool:
        if until_deadlock:
            return bool(counts["40P01"]) or time.monotonic() - begin > PATIENCE
        return counts["committed"] >= TRANSACTIONS or time.monotonic() - begin > PATIENCE

    def work(number: int) -> None:
        engine = create_engine(url, pool_size=1, max_overflow=0)
        for turn in itertools.count():
            if over():
                break
            order = streams if (number + turn) % 2 else streams[::-1]
            many = COPY_THRESHOLD if turn % 10 == 9 and not until_deadlock else 1
            try:
                with UnitOfWork(sessionmaker(engine)) as unit:
                    for stream_name in order:
                        unit.write(stream_name, [Message("T", {}) for _ in range(many)])
                    if turn % 3 == 0 and not until_deadlock:
                        unit.expect("b-none", NO_STREAM)
                    unit.commit()
                counts["committed"] += 1
            except TransactionConflict as conflict:
                counts[conflict.sqlstate] += 1
        engine.dispose()

    with ThreadPoolExecutor(CLIENTS) as executor:
        for future in [executor.submit(work, number) for number in range(CLIENTS)]:
            future.result()
    return counts


@Places
def test_units_of_work_never_deadlock(
    stage_database: URL, granularity: str, streams: list[str]
) -> None:
    with stage(stage_database) as steps:
        steps.edit(SLOWLY)
        set_granularity(steps, granularity)
        counts = contend(stage_database, streams)
    assert counts.keys() == {"committed"}
    assert counts["committed"] >= TRANSACTIONS


@Places
def test_without_the_order_of_locks_they_do(
    stage_database: URL, granularity: str, streams: list[str]
) -> None:
    with stage(stage_database) as steps:
        steps.edit(SLOWLY + UNSORTED)
        set_granularity(steps, granularity)
        assert contend(stage_database, streams, until_deadlock=True)["40P01"]
