"""Whether reads become slower as the store grows (S9)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from random import Random
from time import perf_counter
from typing import Any

import psycopg

from benchmarks.client import connect
from benchmarks.comparison import OURS, Bar, Comparison
from benchmarks.server import Server
from benchmarks.size import Size

__all__ = ["growth"]

_CATEGORIES = 1_000


@contextmanager
def growth(server: Server, size: Size) -> Iterator[Comparison]:
    # Half of what the small store has of a category, so that there is as much to read in both.
    batch_size = size.few // _CATEGORIES // 2
    random = Random(9)

    def side(connection: psycopg.Connection[Any], number: int) -> float:
        reads = [
            (
                f"category{random.randrange(_CATEGORIES)}",
                random.randint(1, number - batch_size * _CATEGORIES),
                batch_size,
            )
            for _ in range(size.reads * 20)
        ]
        begin = perf_counter()
        for read in reads:
            rows = connection.execute(
                "SELECT * FROM message_store.get_category_messages(%s, %s, %s)", read
            ).fetchall()
            if len(rows) != batch_size:
                raise AssertionError(f"{len(rows)} messages were read")
        return len(reads) / (perf_counter() - begin)

    with ExitStack() as stack:
        connections = {}
        for number in (size.many, size.few):
            url = server.filled(number, _CATEGORIES)
            connections[number] = stack.enter_context(connect(url))
        smaller = f"{size.few:,}"
        yield Comparison(
            f"category read of {size.many:,}",
            "reads/s",
            {
                OURS: lambda: side(connections[size.many], size.many),
                smaller: lambda: side(connections[size.few], size.few),
            },
            [Bar("S9", smaller, 0.9)],
        )
