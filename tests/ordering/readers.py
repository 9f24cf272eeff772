"""Readers of the race: consumers that go on behind the last message they got."""

from __future__ import annotations

import random
from threading import Event
from typing import NamedTuple

import psycopg
from sqlalchemy import URL

from tests.ordering.ledger import Ledger
from tests.ordering.stage import dsn_of

# As an application might wrap it. It reads with newer snapshots than its caller's all the same.
WRAPPER = """
CREATE OR REPLACE FUNCTION public.wrapped_{0}({1}) RETURNS SETOF message_store.message
LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN QUERY SELECT * FROM message_store.{0}({2});
END
$$
"""
WRAPPERS = [
    WRAPPER.format(
        "get_category_messages",
        "varchar, bigint, bigint, varchar, bigint, bigint",
        "$1, $2, $3, $4, $5, $6",
    ),
    WRAPPER.format(
        "get_messages",
        "varchar[], bigint, bigint, varchar, bigint, bigint",
        "$1, $2, $3, $4, $5, $6",
    ),
]

_QUERY = "SELECT global_position FROM {}.{}{}({}, %(position)s, %(batch)s, {})"


class Reading(NamedTuple):
    """What a consumer reads."""

    name: str
    function: str
    names: str
    """A category or an array of some, as SQL."""
    filters: str = "NULL, NULL, NULL"
    """Correlation, consumer group's member and size."""
    settled: str | None = None
    """Whose settled position it goes on from, where its filters let nothing more through."""
    isolation: str = "READ COMMITTED"

    @property
    def predicate(self) -> str:
        """Which rows of the table it must get."""
        correlation, member, size = (value.strip() for value in self.filters.split(","))
        predicate = f"message_store.is_member(stream_name, {member}, {size})"
        if correlation != "NULL":
            predicate += (
                f" AND message_store.category(metadata ->> 'correlationStreamName') = {correlation}"
            )
        if self.function == "get_category_messages":
            return f"{predicate} AND message_store.category(stream_name) = {self.names}"
        if self.names != "NULL":
            return f"{predicate} AND message_store.category(stream_name) = ANY ({self.names})"
        return predicate


GROUP = 3

READINGS = [
    *(Reading(f"category {name}", "get_category_messages", f"'{name}'") for name in "abc"),
    *(
        Reading(f"member {n}", "get_category_messages", "'a'", f"NULL, {n}, {GROUP}")
        for n in range(GROUP)
    ),
    Reading("correlation", "get_category_messages", "'b'", "'x', NULL, NULL"),
    Reading("several", "get_messages", "'{a,c}'::varchar[]"),
    Reading("all", "get_messages", "NULL"),
    Reading("several, group", "get_messages", "'{b,c}'::varchar[]", "NULL, 1, 2"),
    Reading("settled", "get_category_messages", "'a'", "'y', 0, 2", "'a'"),
    Reading("settled, all", "get_messages", "NULL", "'y', 1, 2", "NULL"),
    Reading("snapshot", "get_category_messages", "'b'", isolation="REPEATABLE READ"),
    Reading(
        "snapshot, filtered",
        "get_category_messages",
        "'c'",
        "'x', NULL, NULL",
        isolation="SERIALIZABLE",
    ),
]


class Reader:
    """Reads until it is told to stop, then what is left."""

    def __init__(
        self, url: URL, number: int, seed: int, reading: Reading, ledger: Ledger, stop: Event
    ) -> None:
        self.reading = reading
        self.seen: list[int] = []
        self.problem: str | None = None
        self._dsn = dsn_of(url)
        self._random = random.Random(seed * 1000 + 500 + number)
        self._ledger = ledger
        self._stop = stop
        self.position = 1

    def run(self) -> None:
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            while not self._stop.wait(self._random.random() ** 3 * 0.05):
                self._read(connection, self._random.choice([1, 2, 5, 20, 100]))

    def drain(self, isolation: str) -> None:
        """Read what is left, once nobody writes any more."""
        self.reading = self.reading._replace(isolation=isolation)
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            while self._read(connection, 1000):
                pass

    def _read(self, connection: psycopg.Connection, batch: int) -> int:
        """Read a batch; returns how many messages there were."""
        try:
            positions, settled = self._fetch(connection, batch)
        except psycopg.DatabaseError as error:
            connection.execute("ROLLBACK")
            if error.sqlstate == "40001" and self.reading.isolation == "SERIALIZABLE":
                # PostgreSQL may ask readers to try again as well.
                self._ledger.count("read again")
                return 0
            if (
                error.diag.constraint_name != "read_not_exact"
                or self.reading.isolation == "READ COMMITTED"
            ):
                raise
            self._ledger.count("refusal")
            return 0
        before = [self.position - 1, *positions]
        if any(left >= right for left, right in zip(before, positions, strict=False)):
            self.problem = f"from {self.position} on it read {positions}"
        self.seen += positions
        last = positions[-1] if positions else self.position - 1
        # A full batch may end before what is settled.
        self.position = (last if len(positions) == batch else max(last, settled)) + 1
        self._ledger.count("read")
        if self.reading.isolation != "READ COMMITTED":
            self._ledger.count("read with an old snapshot")
        return len(positions)

    def _fetch(self, connection: psycopg.Connection, batch: int) -> tuple[list[int], int]:
        """Return the messages' positions, and up to where all is settled, or 0."""
        style = self._random.choice(["plain", "plain", "wrapped", "cursor", "late"])
        schema, prefix = ("public", "wrapped_") if style == "wrapped" else ("message_store", "")
        reading = self.reading
        query = _QUERY.format(schema, prefix, reading.function, reading.names, reading.filters)
        parameters = {"position": self.position, "batch": batch}
        if style in {"plain", "wrapped"} and (reading.settled, reading.isolation) == (
            None,
            "READ COMMITTED",
        ):
            return _positions(connection.execute(query.encode(), parameters)), 0
        settled = 0
        connection.execute(f"BEGIN ISOLATION LEVEL {reading.isolation}".encode())
        if reading.settled is not None:
            # In one transaction with the read, which goes as far as that then.
            statement = f"SELECT message_store.settled_position({reading.settled})"
            ((settled,),) = connection.execute(statement.encode())
        if style == "late":
            # The transaction has a snapshot, and knows the granularity, from before.
            connection.execute("SELECT message_store.lock_granularity() FROM pg_class LIMIT 1")
            self._stop.wait(self._random.random() * 0.01)
        if style == "cursor":
            query = f"DECLARE reading CURSOR FOR {query}"
        found = connection.execute(query.encode(), parameters)
        if style == "cursor":
            self._stop.wait(self._random.random() * 0.01)
            found = connection.execute("FETCH ALL FROM reading")
        positions = _positions(found)
        connection.execute("COMMIT")
        return positions, settled


def _positions(cursor: psycopg.Cursor) -> list[int]:
    return [position for (position,) in cursor]
