"""The reports of a store: how many messages there are of what, and what part of all that is."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Table, select

from mdb_sqla import tables
from mdb_sqla.database.execution import WRITES, Database, database, execute
from mdb_sqla.errors import InvalidArgument

__all__ = ["REPORTS", "Row", "columns", "report"]

_MOST_FIRST = "message_count"

_REPORTS: dict[str, tuple[Table, tuple[str, ...]]] = {
    "stream": (tables.stream_summary, (_MOST_FIRST, "stream_name")),
    "type": (tables.type_summary, (_MOST_FIRST, "type")),
    "stream-type": (tables.stream_type_summary, ("stream_name", _MOST_FIRST, "type")),
    "type-stream": (tables.type_stream_summary, ("type", _MOST_FIRST, "stream_name")),
    "category-type": (tables.category_type_summary, ("category", "type")),
    "type-category": (tables.type_category_summary, ("type", "category")),
}

REPORTS = tuple(_REPORTS)
"""The names of the reports, each for what it groups messages by."""

_FILTERS = {"stream": "stream_name", "type": "type", "category": "category"}


class Row(NamedTuple):
    """A row of a report.

    Attributes:
        names: what the messages have in common, in the order of the report's name.
        message_count: how many messages there are.
        percent: of all messages in the store, also where the report is filtered.
    """

    names: tuple[str, ...]
    message_count: int
    percent: Decimal


def columns(name: str) -> tuple[str, ...]:
    """Return what a report groups messages by.

    Raises:
        InvalidArgument: there is no such report.
    """
    if name not in _REPORTS:
        raise InvalidArgument(f"The report must be one of {', '.join(REPORTS)}: {name!r}")
    return tuple(name.split("-"))


def report(db: Database, name: str, **filters: str | None) -> list[Row]:
    """Return the rows of a report, the names with most messages first where it has one of a kind.

    It reads the whole table.

    Args:
        db: a session or connection.
        name: one of `REPORTS`.
        filters: `stream`, `type`, `category`: only names that have this text in them.

    Raises:
        InvalidArgument: there is no such report, or it does not group by what is filtered.
        StoreNotInstalled: there is no store in the database.
    """
    grouped = columns(name)
    view, order = _REPORTS[name]
    statement = select(view).order_by(
        *(view.c[each].desc() if each == _MOST_FIRST else view.c[each] for each in order)
    )
    for what, part in filters.items():
        if part is None:
            continue
        if what not in grouped:
            raise InvalidArgument(f"The report {name} can't be filtered by {what}: {part!r}")
        statement = statement.where(view.c[_FILTERS[what]].contains(part, autoescape=True))
    rows: Any = execute(database(db), statement, {}, WRITES)
    return [Row(tuple(row[:-2]), row.message_count, row.percent) for row in rows]
