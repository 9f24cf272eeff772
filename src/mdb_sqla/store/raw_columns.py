"""The columns of raw messages, and the messages of rows with these columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Text, Uuid, case, cast, func, literal_column, type_coerce

from mdb_sqla.column_types import fits_datetime, normalized, time_column
from mdb_sqla.words.raw_message import RawMessage

__all__ = ["raw_columns", "raw_messages", "time_text"]

_WHOLE: ColumnElement[Any] = literal_column("'{}'::text[]")


def raw_columns(columns: Any) -> list[ColumnElement[Any]]:
    """Return the columns to select, from those of the table or of a function."""
    return [
        # Drivers create UUIDs faster than Python code does.
        cast(type_coerce(columns.id, Text), Uuid),
        columns.stream_name,
        columns.type,
        columns.position,
        columns.global_position,
        cast(columns.data, Text),
        cast(columns.metadata, Text),
        time_text(columns.time),
        time_column(columns.time),
    ]


def time_text(time: ColumnElement[Any]) -> ColumnElement[str | None]:
    """Return an expression: a time that Python can't represent, as text; NULL for any other."""
    # In JSON, the format of a time does not depend on DateStyle.
    return case((~fits_datetime(time), func.pg_catalog.to_jsonb(time).op("#>>")(_WHOLE)))


def raw_messages(rows: Sequence[Sequence[Any]]) -> list[RawMessage]:
    """Return the messages of rows of these columns.

    Raises:
        InvalidArgument: a codec of the application returns values that can't be converted.
    """
    return [
        RawMessage._make((*values, time_text if time is None else time))
        for *values, time_text, time in normalized(rows)
    ]
