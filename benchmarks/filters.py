"""Reads of a category with each filter, in the server, beside the original's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import psycopg
from sqlalchemy import URL

from benchmarks.client import connect, plan_of
from benchmarks.comparison import OURS, Bar, Comparison, Experiment
from benchmarks.server import Server
from benchmarks.size import Size

__all__ = ["FILTERS", "call_times", "category_filters", "fill"]

FILTERS = {
    "no filter": "",
    "correlation, few match": ", correlation => 'checkout'",
    "correlation, none match": ", correlation => 'refund'",
    "group member 0 of 4": ", consumer_group_member => 0, consumer_group_size => 4",
    "condition, few match": ", condition => 'messages.type = ''Rare'''",
}
"""The arguments of each, as SQL."""

CALLS = 10
"""Calls over a new connection: PL/pgSQL may plan a query anew after its first five."""

# Two of three messages are in the category that is read, and every thousandth one of those matches.
_FILL = b"""
    INSERT INTO message_store.messages (stream_name, position, type, data, metadata)
    SELECT
      format('%%s-%%s', CASE WHEN n %% 3 = 0 THEN 'other' ELSE 'order' END, n / 30),
      n %% 30,
      CASE WHEN n %% 1500 = 1 THEN 'Rare' ELSE 'Placed' END,
      '{"customer": "Ada Lovelace", "total": 120.5}',
      jsonb_build_object(
        'correlationStreamName',
        CASE WHEN n %% 1500 = 1 THEN 'checkout-' ELSE 'transfer-' END || n
      )
    FROM generate_series(0, %(number)s - 1) AS n
"""


def category_filters(filters: Sequence[str] = tuple(FILTERS)) -> Sequence[Experiment]:
    """Return an experiment for each filter."""
    return [_experiment(name) for name in filters]


def _experiment(name: str) -> Experiment:
    @contextmanager
    def experiment(server: Server, size: Size) -> Iterator[Comparison]:
        def side(url: URL) -> Callable[[], float]:
            with connect(url) as connection:
                fill(connection, size.filtered)
            return lambda: CALLS / sum(call_times(url, name))

        with ExitStack() as stack:
            databases: dict[str, AbstractContextManager[URL]] = {
                OURS: server.ours(),
                "original": server.original(),
            }
            yield Comparison(
                f"category read, {name}",
                "calls/s",
                {who: side(stack.enter_context(url)) for who, url in databases.items()},
                [Bar("", "original", 1)],
            )

    experiment.__name__ = f"category_read_{'_'.join(name.replace(',', '').split())}"
    return experiment


def fill(connection: psycopg.Connection[Any], number: int) -> None:
    """Store messages in two categories."""
    connection.execute(_FILL, {"number": number})
    connection.execute("VACUUM ANALYZE message_store.messages")
    connection.execute("CHECKPOINT")


def call_times(url: URL, name: str) -> list[float]:
    """Return the seconds in the server of each call over a new connection, from the start on."""
    call = f"SELECT * FROM message_store.get_category_messages('order', 1, 1000{FILTERS[name]})"
    with connect(url) as connection:
        connection.execute("SET message_store.sql_condition = 'on'")
        return [plan_of(connection, call)["Execution Time"] / 1000 for _ in range(CALLS)]
