"""Message counts by stream, type or category."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Table, select

from mdb_sqla import tables
from mdb_sqla.database.execution import WRITES, Database, database, execute
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.words.argument_checks import described

__all__ = ["REPORTS", "Row", "columns", "report"]

_COUNT = "message_count"

_REPORTS: dict[str, tuple[Table, tuple[str, ...]]] = {
    "stream": (tables.stream_summary, (_COUNT, "stream_name")),
    "type": (tables.type_summary, (_COUNT, "type")),
    "stream-type": (tables.stream_type_summary, ("stream_name", _COUNT, "type")),
    "type-stream": (tables.type_stream_summary, ("type", _COUNT, "stream_name")),
    "category-type": (tables.category_type_summary, ("category", "type")),
    "type-category": (tables.type_category_summary, ("type", "category")),
}

REPORTS = tuple(_REPORTS)
"""The names of the reports; a name says what messages are grouped by."""

_FILTERS = {"stream": "stream_name", "type": "type", "category": "category"}


class Row(NamedTuple):
    """A row of a report.

    Attributes:
        names: the values that messages are grouped by, in the order of the report's name.
        message_count: the number of messages.
        percent: the percentage of all messages in the store, regardless of filters.
    """

    names: tuple[str, ...]
    message_count: int
    percent: Decimal


def columns(name: str) -> tuple[str, ...]:
    """Return the columns that a report groups messages by.

    Raises:
        InvalidArgument: the report does not exist.
    """
    if name not in _REPORTS:
        raise InvalidArgument(
            f"report must be one of {', '.join(map(repr, REPORTS))}, got {described(name)}"
        )
    return tuple(name.split("-"))


def report(db: Database, name: str, **filters: str | None) -> list[Row]:
    """Return the rows of a report, most messages first.

    Reads the whole table.

    Args:
        db: a session or connection.
        name: the name of the report, one of `REPORTS`.
        filters: `stream`, `type` or `category`: only names that contain this text.

    Raises:
        InvalidArgument: the report does not exist, or does not group by a filter.
        StoreNotInstalled: the database has no store.
    """
    grouped = columns(name)
    view, order = _REPORTS[name]
    statement = select(view).order_by(
        *(view.c[each].desc() if each == _COUNT else view.c[each] for each in order)
    )
    for key, value in filters.items():
        if value is None:
            continue
        if key not in grouped:
            raise InvalidArgument(
                f"Report {name!r} can't be filtered by {key}, got {key}={value!r}"
            )
        statement = statement.where(view.c[_FILTERS[key]].contains(value, autoescape=True))
    rows: Any = execute(database(db), statement, {}, WRITES)
    return [Row(tuple(row[:-2]), row.message_count, row.percent) for row in rows]
