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

_LIMITS = (
    """
    CREATE FUNCTION limit_write(name varchar, cycles int) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
      FOR i IN 1..cycles LOOP
        INSERT INTO message_store.messages (id, stream_name, position, type, data, metadata)
        VALUES (
          gen_random_uuid(),
          name,
          coalesce(
            (SELECT max(m.position) FROM message_store.messages AS m WHERE m.stream_name = name), -1
          ) + 1,
          'SomeType',
          '{"attribute": "some value"}',
          '{"metaAttribute": "some meta value", "correlationStreamName": "someCorrelation-123"}'
        );
      END LOOP;
    END
    $$
    """,
    """
    CREATE FUNCTION limit_get(name varchar, cycles int) RETURNS void LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan AS $$
    BEGIN
      FOR i IN 1..cycles LOOP
        PERFORM
          id::varchar, stream_name::varchar, type::varchar, position, global_position,
          data::varchar, metadata::varchar, time
        FROM message_store.messages
        WHERE stream_name = name AND position >= i - 1
        ORDER BY position
        LIMIT 1;
      END LOOP;
    END
    $$
    """,
)
"""What PostgreSQL needs for the same work in a loop, with nothing of ours in it."""


@contextmanager
def writes(server: Server, size: Size) -> Iterator[Comparison]:
    def side(url: URL, function: str = "benchmark_write") -> float:
        return size.cycles / _benchmark(url, function, next(_streams), size.cycles)

    with _both(server) as (ours, original):
        yield Comparison(
            "benchmark.sh, writes",
            "messages/s",
            {
                OURS: lambda: side(ours),
                "original": lambda: side(original),
                "INSERT": lambda: side(ours, "limit_write"),
            },
            [Bar("S1", "INSERT", 0.9), Bar("S1", "original", 1.15)],
        )


@contextmanager
def single_reads(server: Server, size: Size) -> Iterator[Comparison]:
    def side(url: URL, function: str = "benchmark_get") -> float:
        stream = next(_streams)
        _benchmark(url, "benchmark_write", stream, size.cycles)
        with connect(url) as connection:
            connection.execute("ANALYZE message_store.messages")
        return size.cycles / _benchmark(url, function, stream, size.cycles)

    with _both(server) as (ours, original):
        yield Comparison(
            "benchmark.sh, reads",
            "messages/s",
            {
                OURS: lambda: side(ours),
                "original": lambda: side(original),
                "SELECT": lambda: side(ours, "limit_get"),
            },
            [Bar("S2", "SELECT", 0.75), Bar("S2", "original", 3)],
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
    """Give our store and the original, with the loops to measure in them."""
    with server.ours() as ours, server.original() as original:
        for url in (ours, original):
            server.message_db.install_benchmark(url)
        with connect(ours) as connection:
            for function in _LIMITS:
                connection.execute(function.encode())
        yield ours, original


def _benchmark(url: URL, function: str, stream: str, cycles: int) -> float:
    """Return the seconds that a loop takes, which benchmark.sh reports, over a new connection."""
    with connect(url) as connection:
        plan = plan_of(connection, f"SELECT {function}(%s::varchar, %s::int)", (stream, cycles))
    return float(plan["Execution Time"]) / 1000
