"""Writers side by side, clients of either store through libpq (S3, S4)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

from sqlalchemy import URL

from benchmarks.client import Prepared, connect
from benchmarks.comparison import OURS, Bar, Comparison
from benchmarks.content import DATA, METADATA, TYPE
from benchmarks.server import Server
from benchmarks.size import Size
from benchmarks.writers import Crew

__all__ = ["application_transactions", "writers_16", "writers_64"]

_WRITE = "SELECT write_message($1, $2, $3, $4, $5)"
_DATA = json.dumps(DATA)
_METADATA = json.dumps(METADATA)
_APART = "a category each"


@dataclass(frozen=True)
class SingleMessages:
    """Writes a message to a new stream, in a transaction of its own.

    Attributes:
        category: with `{}` in it, each writer has its own.
    """

    url: URL
    category: str

    @contextmanager
    def opened(self, number: int) -> Iterator[Callable[[], object]]:
        category = self.category.format(number)
        with connect(self.url) as connection:
            write = Prepared(connection, "write", _WRITE)

            def write_one() -> None:
                write.run(str(uuid4()), f"{category}-{uuid4()}", TYPE, _DATA, _METADATA)

            yield write_one


@dataclass(frozen=True)
class Orders:
    """Inserts a row, writes a message to a new stream, updates the row, and commits.

    Attributes:
        category: with `{}` in it, each writer has its own.
    """

    url: URL
    category: str

    @contextmanager
    def opened(self, number: int) -> Iterator[Callable[[], object]]:
        category = self.category.format(number)
        with connect(self.url) as connection:
            begin = Prepared(connection, "begin", "BEGIN")
            insert = Prepared(connection, "insert", "INSERT INTO orders VALUES ($1, 'new')")
            write = Prepared(connection, "write", _WRITE)
            update = Prepared(
                connection, "update", "UPDATE orders SET state = 'placed' WHERE id = $1"
            )
            commit = Prepared(connection, "commit", "COMMIT")

            def place() -> None:
                order = str(uuid4())
                begin.run()
                insert.run(order)
                write.run(str(uuid4()), f"{category}-{order}", TYPE, _DATA, _METADATA)
                update.run(order)
                commit.run()

            yield place


@contextmanager
def application_transactions(server: Server, size: Size) -> Iterator[Comparison]:
    number = 16
    with (
        server.ours() as ours,
        server.ours() as apart,
        server.original() as original,
        server.setting(commit_delay="2000", commit_siblings="0"),
        Crew.hired() as crew,
    ):
        for url in (ours, apart, original):
            with connect(url) as connection:
                connection.execute("CREATE TABLE public.orders (id uuid PRIMARY KEY, state text)")

        def side(url: URL, category: str) -> float:
            return crew.rate(Orders(url, category), number, size.seconds)

        yield Comparison(
            f"{number} transactions at once",
            "transactions/s",
            {
                OURS: lambda: side(ours, "order"),
                _APART: lambda: side(apart, "order{}"),
                "original": lambda: side(original, "order"),
            },
            [Bar("S3", _APART, 0.95), Bar("S3", "original", 11)],
        )


@contextmanager
def _writers(server: Server, size: Size, number: int) -> Iterator[Comparison]:
    with (
        server.ours() as ours,
        server.ours() as apart,
        server.original() as original,
        Crew.hired() as crew,
    ):

        def side(url: URL, category: str) -> float:
            return crew.rate(SingleMessages(url, category), number, size.seconds)

        yield Comparison(
            f"{number} writers, one category",
            "messages/s",
            {
                OURS: lambda: side(ours, "order"),
                _APART: lambda: side(apart, "order{}"),
                "original": lambda: side(original, "order"),
            },
            [Bar("S4", _APART, 0.95), Bar("S4", "original", 2.8)],
        )


@contextmanager
def writers_16(server: Server, size: Size) -> Iterator[Comparison]:
    with _writers(server, size, 16) as comparison:
        yield comparison


@contextmanager
def writers_64(server: Server, size: Size) -> Iterator[Comparison]:
    with _writers(server, size, 64) as comparison:
        yield comparison
