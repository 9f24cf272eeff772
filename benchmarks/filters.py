"""Reads of categories with each filter, in the server, beside the original's (S8a to S8c)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import URL

from benchmarks.client import connect, plan_of
from benchmarks.comparison import OURS, Bar, Comparison, Experiment
from benchmarks.server import Server
from benchmarks.size import Size

__all__ = ["category_filters"]


class _Read(NamedTuple):
    """A read of 1,000 messages from a position on.

    Attributes:
        label: the row of the targets; empty for what stands beside them.
        target: how many times as fast as the original.
        filters: the arguments after the batch size, as SQL.
        position: from where on.
        categories: one, or several, for which the original is called once each.
        uncounted: calls over the connection before those that count.
        bare: the same read as a statement, without any function.
    """

    label: str
    target: float
    filters: str = ""
    position: int = 1
    categories: Sequence[str] = ("order",)
    uncounted: int = 6
    bare: str = ""

    def calls(self, who: str) -> Sequence[str]:
        arguments = f"{self.position}, 1000{self.filters}"
        if who == "SELECT":
            return [self.bare]
        if who == OURS and len(self.categories) > 1:
            names = f"'{{{','.join(self.categories)}}}'"
            return [f"SELECT * FROM message_store.get_messages({names}, {arguments})"]
        return [
            f"SELECT * FROM message_store.get_category_messages('{name}', {arguments})"
            for name in self.categories
        ]


_BARE = """
    SELECT
      id::varchar, stream_name::varchar, type::varchar, position, global_position,
      data::varchar, metadata::varchar, time
    FROM message_store.messages
    WHERE message_store.category(stream_name) = 'order' AND global_position >= 1
    ORDER BY global_position
    LIMIT 1000
"""
_GROUP = ", consumer_group_member => 0, consumer_group_size => 4"
_FEW = ", condition => 'messages.type = ''Rare'''"

_READS = {
    "no filter": _Read("S8a", 1.05, bare=_BARE),
    "correlation, none match": _Read("S8b", 1.1, ", correlation => 'refund'"),
    "correlation, few match": _Read("S8b", 1.1, ", correlation => 'checkout'"),
    "correlation, all match": _Read("S8b", 1.1, ", correlation => 'transfer'"),
    "group member 0 of 4": _Read("", 1, _GROUP, uncounted=0),
    "condition, few match": _Read("S8c", 1.1, _FEW),
    "condition, all match": _Read("S8c", 1.1, ", condition => 'messages.position >= 0'"),
    "several filters": _Read("S8c", 1.1, f"{_GROUP}, correlation => 'transfer'{_FEW}"),
    "two categories": _Read("S8c", 1.1, categories=("order", "other")),
    "from behind the last message": _Read("S8c", 1.1, position=10**9),
}

_CALLS = 10
"""Calls that count: PL/pgSQL may plan a query anew after its first five over a connection."""

_MORE = b"SELECT count(*) FROM message_store.get_category_messages('order', 1, 20000)"

# Two of three messages are in the category that is read, and every thousandth one of those matches
# where few do, and all others where all do.
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


def category_filters() -> Sequence[Experiment]:
    """Return an experiment for each filter; all of them read the same two stores."""
    return [_experiment(name, read) for name, read in _READS.items()]


def _experiment(name: str, read: _Read) -> Experiment:
    @contextmanager
    def experiment(server: Server, size: Size) -> Iterator[Comparison]:
        def filled(url: URL) -> URL:
            with connect(url) as connection:
                _fill(connection, size.filtered)
            return url

        ours = server.kept(
            "filters, ours", lambda stack: filled(stack.enter_context(server.ours()))
        )
        original = server.kept(
            "filters, original", lambda stack: filled(stack.enter_context(server.original()))
        )
        yield Comparison(
            f"category read, {name}",
            "calls/s",
            {
                OURS: _slower(ours, read),
                "original": lambda: _rate(original, "original", read),
                **({"SELECT": lambda: _rate(ours, "SELECT", read)} if read.bare else {}),
            },
            [
                Bar(read.label, "original", read.target),
                *([Bar(read.label, "SELECT", 0.8)] if read.bare else []),
            ],
        )

    experiment.__name__ = f"category_read_{'_'.join(name.replace(',', '').split())}"
    return experiment


def _fill(connection: psycopg.Connection[Any], number: int) -> None:
    """Store messages in two categories."""
    connection.execute(_FILL, {"number": number})
    connection.execute("VACUUM ANALYZE message_store.messages")
    connection.execute("CHECKPOINT")


def _slower(url: URL, read: _Read) -> Callable[[], float]:
    """Return a round under both granularities, which counts by the slower one."""

    def side() -> float:
        rates = []
        for granularity in ("category", "stream"):
            with connect(url) as connection:
                connection.execute("SELECT message_store.set_lock_granularity(%s)", (granularity,))
            rates.append(_rate(url, OURS, read))
        return min(rates)

    return side


def _rate(url: URL, who: str, read: _Read) -> float:
    """Return how many reads a second the server does over a new connection, by the median one."""
    with connect(url) as connection:
        connection.execute("SET message_store.sql_condition = 'on'")
        # Until a session has needed more memory, malloc may return what a call has used to the
        # system each time, depending on a few bytes: a fifth of the time, on either side.
        connection.execute(_MORE)
        seconds: list[float] = [
            sum(plan_of(connection, call)["Execution Time"] / 1000 for call in read.calls(who))
            for _ in range(read.uncounted + _CALLS)
        ]
    return 1 / median(seconds[read.uncounted :])
