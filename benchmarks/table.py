"""The rows of a run as a table, for the terminal and for a page."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from benchmarks.comparison import Outcome, Row, rows_of

__all__ = ["markdown", "of"]

_HEADINGS = ("code", "row", "compared with", "per second", "other side", "ratio", "target", "met")
_NUMBERS = {"per second", "other side", "ratio", "target"}

# The names in a run's results, where a reader would not understand them.
_NAMES = {
    "original": "Message DB",
    "16 transactions at once": "16 concurrent application transactions",
    "read by member 0 of 4": "read by group member 0 of 4",
    "category read of 10,000,000": "category read, 10,000,000 messages",
    "100,000": "100,000 messages",
    "one write, over a connection": "one write, over an open connection",
    "commit to handler, 99 of 100": "commit to handler, 99th percentile",
    "one write, consumers woken": "one write, with wake-up",
    "consumer, one message a transaction": "consumer, one message per transaction",
    "consumer, 100 messages a transaction": "consumer, 100 messages per transaction",
    "16 writers, by the packages": "16 writers, with each library",
}


def of(outcomes: Sequence[Outcome]) -> Table:
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    for heading in _HEADINGS:
        table.add_column(heading, justify="right" if heading in _NUMBERS else "left")
    for row in rows_of(outcomes):
        table.add_row(*_cells(row), style=None if row.met else "bold red")
    return table


def markdown(outcomes: Sequence[Outcome]) -> str:
    rules = ["--:" if heading in _NUMBERS else "---" for heading in _HEADINGS]
    lines = [_HEADINGS, rules, *(_cells(row) for row in rows_of(outcomes))]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.label,
        _NAMES.get(row.what, row.what),
        _NAMES.get(row.against, row.against),
        f"{row.ours:,.0f}",
        f"{row.theirs:,.0f}",
        f"{row.ratio:.2f}",
        f"{row.target:.2f}",
        "yes" if row.met else "no",
    )
