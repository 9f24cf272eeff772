"""The last position drawn is read as it is, however busy its sequence.

What the sequence shows as a table is not that: while nextval() logs, it is up to 32 ahead, and
while the granularity is being set, it may be missing. Neither can be made to happen step by step.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import psycopg
from sqlalchemy import URL

from tests.ordering.interleavings import set_granularity
from tests.ordering.stage import Edit, Stage, stage

SECONDS = 1.5
PATIENCE = 20.0  # seconds, until what is wrong has shown

LAST = "last_global_position()"
READ_AS_A_TABLE: tuple[Edit, ...] = (
    (LAST, ":= pg_sequence_last_value(_sequence)", ":= 0"),
    (
        LAST,
        "RETURN _last;",
        "RETURN (SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END "
        "FROM message_store.messages_global_position_seq);",
    ),
)

DRAW = (
    "SELECT count(nextval('message_store.messages_global_position_seq')) "
    "FROM generate_series(1, 5000)"
)
COUNT_AHEAD = (
    "SELECT count(*) FROM generate_series(1, 2000) WHERE message_store.last_global_position() "
    "> pg_sequence_last_value('message_store.messages_global_position_seq')"
)
COUNT_FLOORS = (
    "SELECT count(*) FROM pg_locks "
    "WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND objsubid = 2"
)


def is_ahead(steps: Stage, seconds: float) -> bool:
    """Whether it is seen ahead of the truth, while positions are drawn."""
    drawer, observer = steps.client(), steps.client()
    drawer(DRAW)
    return _shows(lambda: observer(COUNT_AHEAD) != [(0,)], lambda: drawer(DRAW), seconds)


def is_missing(steps: Stage, seconds: float) -> bool:
    """Whether a lock comes without a floor, while the granularity is set back and forth."""
    client = steps.client()

    def switch() -> None:
        set_granularity(steps, "stream")
        set_granularity(steps, "category")

    def has_no_floor() -> bool:
        client("BEGIN")
        try:
            client("SELECT message_store.acquire_lock('a-1')")
            return client(COUNT_FLOORS) == [(0,)]
        except psycopg.DatabaseError:
            return True
        finally:
            client("ROLLBACK")

    return _shows(has_no_floor, switch, seconds)


def _shows(problem: Callable[[], bool], busy: Callable[[], object], seconds: float) -> bool:
    stop = Event()

    def work() -> None:
        while not stop.is_set():
            busy()

    deadline = time.monotonic() + seconds
    with ThreadPoolExecutor(1) as executor:
        working = executor.submit(work)
        try:
            while time.monotonic() < deadline and not working.done():
                if problem():
                    return True
            return False
        finally:
            stop.set()
            working.result()


def test_it_is_never_ahead(stage_database: URL) -> None:
    with stage(stage_database) as steps:
        assert not is_ahead(steps, SECONDS)


def test_it_is_never_missing(stage_database: URL) -> None:
    with stage(stage_database) as steps:
        assert not is_missing(steps, SECONDS)


def test_as_a_table_it_is_ahead(stage_database: URL) -> None:
    with stage(stage_database) as steps:
        steps.edit(READ_AS_A_TABLE)
        assert is_ahead(steps, PATIENCE)


def test_as_a_table_it_is_missing(stage_database: URL) -> None:
    with stage(stage_database) as steps:
        steps.edit(READ_AS_A_TABLE)
        assert is_missing(steps, 3 * PATIENCE)
