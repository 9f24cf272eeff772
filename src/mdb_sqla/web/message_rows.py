"""Messages as the page lists them: without contents of unbounded size."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Label, Text, case, cast, func

from mdb_sqla.tables import messages

__all__ = ["COLUMNS", "MAX_SHOWN", "MessageRow", "is_small", "shown_json", "shown_name"]

MAX_SHOWN = 200_000
"""The maximum number of characters of data or metadata that a page shows."""

_MAX_NAME = 8_000  # characters; longer ones would not fit into an address either
_MAX_TYPE = 1_000  # characters
_MAX_PREVIEW = 240  # characters
_MAX_PREVIEWED = (
    20_000  # bytes; larger values would have to be read whole for their first characters
)


class MessageRow(NamedTuple):
    """A message in a list.

    Attributes:
        global_position: its global position.
        position: its position in the stream.
        stream_name: its stream, truncated if it is extremely long.
        type: its type, truncated if it is very long.
        time: its time in UTC, as PostgreSQL prints it: not every time fits a `datetime`.
        size: the size of its data in bytes, as it is stored; None without data.
        preview: the first characters of its data as JSON; None if it is large.
    """

    global_position: int
    position: int
    stream_name: str
    type: str
    time: str
    size: int | None
    preview: str | None

    @property
    def category(self) -> str:
        """The category of the stream."""
        return self.stream_name.partition("-")[0]


def is_small(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return whether a JSON column is so small that it can be read for many messages."""
    return func.pg_column_size(column) <= _MAX_PREVIEWED


def shown_name(column: ColumnElement[Any]) -> ColumnElement[str]:
    """Return the first characters of the name of a stream, which other clients may have chosen."""
    return func.left(column, _MAX_NAME)


def _columns() -> list[Label[Any]]:
    size = func.pg_column_size(messages.c.data)
    preview = case(
        (is_small(messages.c.data), func.left(cast(messages.c.data, Text), _MAX_PREVIEW))
    )
    return [
        messages.c.global_position.label("global_position"),
        messages.c.position.label("position"),
        shown_name(messages.c.stream_name).label("stream_name"),
        func.left(messages.c.type, _MAX_TYPE).label("type"),
        cast(messages.c.time, Text).label("time"),
        size.label("size"),
        preview.label("preview"),
    ]


COLUMNS = _columns()
"""The columns of a `MessageRow`."""


def shown_json(column: ColumnElement[Any]) -> ColumnElement[str]:
    """Return the first characters of a JSON column: one more than are shown if there are more."""
    return func.left(cast(column, Text), MAX_SHOWN + 1)
