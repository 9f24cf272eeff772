"""The race: writers, readers and switches of the granularity on one store, then a reckoning."""

from __future__ import annotations

import random
import time
import traceback
from collections import Counter
from collections.abc import Callable
from threading import Event, Thread
from typing import NamedTuple

import psycopg
from psycopg import sql
from sqlalchemy import URL

from tests.ordering.ledger import Ledger
from tests.ordering.readers import GROUP, READINGS, WRAPPERS, Reader
from tests.ordering.stage import dsn_of
from tests.ordering.writers import Writer

WRITERS = 8
PATIENCE = 60.0  # seconds, for what is to end soon


class Outcome(NamedTuple):
    """What a race came to."""

    messages: int
    counts: Counter[str]
    problems: list[str]


class Race:
    """Runs for a number of seconds; what it does by chance is decided by the seed."""

    table = "message_store.messages"
    """Where at the end everything is that was written."""

    def __init__(self, url: URL, seconds: float, seed: int) -> None:
        self._dsn = dsn_of(url)
        self._seconds = seconds
        self._random = random.Random(seed)
        self._ledger = Ledger()
        self._stop_writers = Event()
        self._stop_readers = Event()
        self._problems: list[str] = []
        with psycopg.connect(self._dsn) as connection:
            for wrapper in WRAPPERS:
                connection.execute(wrapper.encode())
            # Writers may meet in the wrong order: that should not take long to be found out.
            connection.execute(
                sql.SQL("ALTER DATABASE {} SET deadlock_timeout = '20ms'").format(
                    sql.Identifier(url.database or "")
                )
            )
            ((prepared,),) = connection.execute("SHOW max_prepared_transactions")
        two_phase = int(prepared) >= WRITERS
        self._writers = [
            Writer(url, number, seed, self._ledger, self._stop_writers, two_phase)
            for number in range(WRITERS)
        ]
        self._readers = [
            Reader(url, number, seed, reading, self._ledger, self._stop_readers)
            for number, reading in enumerate(READINGS)
        ]

    def run(self) -> Outcome:
        writers = [self._start(writer.run) for writer in self._writers]
        writers += [self._start(each) for each in self.disturbances]
        readers = [self._start(reader.run) for reader in self._readers]
        deadline = time.monotonic() + self._seconds
        while time.monotonic() < deadline and not self._problems:
            self._stop_writers.wait(0.1)
        self._stop_writers.set()
        self._join(writers)
        self._stop_readers.set()
        self._join(readers)
        return self._reckon()

    @property
    def disturbances(self) -> list[Callable[[], None]]:
        """What else goes on while the writers write."""
        return [self._switch, self._end_backends]

    def _start(self, target: Callable[[], None]) -> Thread:
        def run() -> None:
            try:
                target()
            except Exception:
                self._problems.append(traceback.format_exc())

        thread = Thread(target=run, name=f"{target}", daemon=True)
        thread.start()
        return thread

    def _join(self, threads: list[Thread]) -> None:
        deadline = time.monotonic() + PATIENCE
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                self._problems.append(f"{thread.name} does not come to an end")

    def _switch(self) -> None:
        """Set the granularity, back and forth, as often as the barrier lets it."""
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            while True:
                for granularity in ("stream", "category"):
                    if self._stop_writers.wait(self._random.random() ** 2):
                        return
                    connection.execute(
                        "SELECT message_store.set_lock_granularity(%s)", (granularity,)
                    )
                    self._ledger.count("switch")

    def _end_backends(self) -> None:
        """End a writer's backend now and then, whatever it is doing."""
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            while not self._stop_writers.wait(self._random.random() * 2):
                pid = self._random.choice(self._writers).pid
                if pid is not None:
                    connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
                    self._ledger.count("ended backend")

    def _reckon(self) -> Outcome:
        problems = list(self._problems)
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            # Those whose client is gone may not know it yet.
            deadline = time.monotonic() + PATIENCE
            while (
                time.monotonic() < deadline
                and connection.execute(
                    "SELECT FROM pg_stat_activity "
                    "WHERE datname = current_database() AND backend_type = 'client backend' "
                    "AND pid <> pg_backend_pid()"
                ).rowcount
            ):
                time.sleep(0.01)
            everything = f"SELECT id FROM {self.table}"
            stored = [id_ for (id_,) in connection.execute(everything.encode())]
            problems += self._ledger.differences(stored)
            problems += _gaps(connection, self.table)
            # At the end either granularity, with what readers of a snapshot accept.
            connection.execute("SELECT message_store.set_lock_granularity('stream')")
            for reader in self._readers:
                if reader.problem is None:
                    reader.drain("READ COMMITTED")
                problems += _missed(connection, reader, self.table)
        problems += self._union_of_members()
        return Outcome(len(stored), self._ledger.counts, problems)

    def _union_of_members(self) -> list[str]:
        (whole,) = (r for r in self._readers if r.reading.name == "category a")
        members = [r for r in self._readers if r.reading.name.startswith("member ")]
        together = sorted(position for member in members for position in member.seen)
        if len(members) != GROUP or together != sorted(whole.seen):
            return ["the members of the group together don't read what there is"]
        return []


def _gaps(connection: psycopg.Connection, table: str) -> list[str]:
    query = (
        "SELECT stream_name, position, number FROM ("
        "  SELECT stream_name, position,"
        "    row_number() OVER (PARTITION BY stream_name ORDER BY global_position) - 1 AS number"
        f"  FROM {table}"
        ") AS message WHERE position <> number LIMIT 5"
    )
    rows = connection.execute(query.encode()).fetchall()
    return [f"position {position} of {name} should be {number}" for name, position, number in rows]


def _missed(connection: psycopg.Connection, reader: Reader, table: str) -> list[str]:
    name = f"reader of {reader.reading.name}"
    if reader.problem is not None:
        return [f"{name}: {reader.problem}"]
    query = (
        f"SELECT global_position FROM {table} "
        f"WHERE {reader.reading.predicate} ORDER BY global_position"
    )
    stored = [position for (position,) in connection.execute(query.encode())]
    if reader.seen == stored:
        return []
    skipped = sorted(set(stored) - set(reader.seen))
    return [
        f"{name}: skipped {skipped[:5]} and {len(skipped) - 5} more"
        if len(skipped) > 5
        else f"{name}: skipped {skipped}, read {len(reader.seen)} of {len(stored)}"
    ]
