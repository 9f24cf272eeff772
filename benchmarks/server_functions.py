"""What the server's functions cost by themselves, without a client (S1, S2, S8)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import Any

import psycopg
from sqlalchemy import URL

from benchmarks.client import connect, plan_of
from benchmarks.comparison import OURS, Bar, Comparison
from benchmarks.content import fill
from benchmarks.server import Server
from benchmarks.size import Size

__all__ = ["consumer_group", "single_reads", "writes"]

_streams = (f"testStream-{number}" for number in count())


@contextmanager
def writes(server: Server, size: Size) -> Iterator[Comparison]:
    def side(url: URL) -> float:
        return size.cycles / _write(url, next(_streams), size.cycles)

    with _both(server) as (ours, original):
        yield Comparison(
            "benchmark.sh, writes",
            "messages/s",
            {OURS: lambda: side(ours), "original": lambda: side(original)},
            [Bar("S1", "original", 1.5)],
        )


@contextmanager
def single_reads(server: Server, size: Size) -> Iterator[Comparison]:
    def side(url: URL) -> float:
        stream = next(_streams)
        _write(url, stream, size.cycles)
        with connect(url) as connection:
            connection.execute("ANALYZE message_store.messages")
        return size.cycles / _benchmark(url, "benchmark_get", stream, size.cycles)

    with _both(server) as (ours, original):
        yield Comparison(
            "benchmark.sh, reads",
            "messages/s",
            {OURS: lambda: side(ours), "original": lambda: side(original)},
            [Bar("S2", "original", 6)],
        )


@contextmanager
def consumer_group(server: Server, size: Size) -> Iterator[Comparison]:
    categories = 10

    def side(connection: psycopg.Connection[Any]) -> Callable[[], float]:
        fill(connection, size.read, categories)

        def read() -> float:
            seconds = messages = 0.0
            for number in range(size.reads):
                # Where a whole batch is left: a member reads every fourth message.
                position = 1 + number * size.read // size.reads // 2
                plan = plan_of(
                    connection,
                    "SELECT * FROM get_category_messages(%s, %s, consumer_group_member => 0, "
                    "consumer_group_size => 4)",
                    (f"category{number % categories}", position),
                )
                seconds += plan["Execution Time"] / 1000
                messages += plan["Plan"]["Actual Rows"]
            return messages / seconds

        return read

    with ExitStack() as stack:
        yield Comparison(
            "read by member 0 of 4",
            "messages/s",
            {
                name: side(stack.enter_context(connect(stack.enter_context(database))))
                for name, database in ((OURS, server.ours()), ("original", server.original()))
            },
            [Bar("S8", "original", 4)],
        )


@contextmanager
def _both(server: Server) -> Iterator[tuple[URL, URL]]:
    """Give our store and the original, with the original's benchmark functions in both."""
    with server.ours() as ours, server.original() as original:
        for url in (ours, original):
            server.message_db.install_benchmark(url)
        yield ours, original


def _write(url: URL, stream: str, cycles: int) -> float:
    return _benchmark(url, "benchmark_write", stream, cycles)


def _benchmark(url: URL, function: str, stream: str, cycles: int) -> float:
    """Return the seconds that the original's benchmark.sh reports, on a connection of its own."""
    with connect(url) as connection:
        plan = plan_of(connection, f"SELECT {function}(%s::varchar, %s::int)", (stream, cycles))
    return float(plan["Execution Time"]) / 1000
