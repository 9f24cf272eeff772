"""The rows of a run as a table, for the terminal and for a page."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from benchmarks.comparison import Outcome, Row, rows_of

__all__ = ["markdown", "of"]

_HEADINGS = ("", "what", "against", "a second", "other", "ratio", "target", "met")
_NUMBERS = {"a second", "other", "ratio", "target"}


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
        row.what,
        row.against,
        f"{row.ours:,.0f}",
        f"{row.theirs:,.0f}",
        f"{row.ratio:.2f}",
        f"{row.target:.2f}",
        "yes" if row.met else "no",
    )
