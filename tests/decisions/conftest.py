"""Applications that decide across streams, and clients that decide at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import URL, create_engine
from sqlalchemy.orm import Session, sessionmaker
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from mdb_sqla import AppendConditionFailed, TransactionConflict
from mdb_sqla.admin import set_lock_granularity
from mdb_sqla.words.lock_granularity import LockGranularity

CLIENTS = 8

retry_conflicts = retry(
    retry=retry_if_exception_type((AppendConditionFailed, TransactionConflict)),
    stop=stop_after_attempt(100),
    wait=wait_random_exponential(multiplier=0.005, max=0.1),
    reraise=True,
)


@pytest.fixture(params=list(LockGranularity))
def factory(clean_database: URL, request: pytest.FixtureRequest) -> Iterator[sessionmaker[Session]]:
    """Sessions of a store of each lock granularity."""
    engine = create_engine(clean_database, pool_size=CLIENTS)
    set_lock_granularity(engine, request.param)
    yield sessionmaker(engine)
    set_lock_granularity(engine, LockGranularity.STREAM)
    engine.dispose()


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Make calls at the same time, and return what each has returned or raised."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        barrier.wait()
        try:
            return call()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(calls)) as executor:
        return list(executor.map(run, calls))
