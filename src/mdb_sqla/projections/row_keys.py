"""The keys of the rows that a message concerns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from sqlalchemy import Column
from sqlalchemy.types import TypeDecorator

from mdb_sqla.errors import InvalidArgument, ProjectionFailed
from mdb_sqla.words.argument_checks import described, name_of
from mdb_sqla.words.message import StoredMessage

__all__ = ["Key", "RowKeys"]

Key = Any
"""A value of the primary key, or a tuple of values if it has several columns."""

_FROM_TEXT: dict[type, Callable[[str], Any]] = {str: str, int: int, UUID: UUID}


class RowKeys:
    """Checks the keys that a key function returns, and finds the default keys.

    Args:
        projection: the projection's name, for errors.
        columns: the columns of the primary key.
    """

    def __init__(self, projection: str, columns: Sequence[Column[Any]]) -> None:
        self._projection = projection
        self._types = [_python_type(column) for column in columns]
        self._names = [column.name for column in columns]
        self._column = columns[0]

    def check_default(self) -> None:
        """Check that the id of a stream can be the primary key.

        Raises:
            InvalidArgument: the primary key has several columns, or is of another type.
        """
        if len(self._types) > 1 or self._types[0] not in _FROM_TEXT:
            columns = ", ".join(self._names)
            raise InvalidArgument(
                f"The id of a stream can't be the primary key ({columns}) of table "
                f"{self._column.table.fullname}: pass key, a function that returns it"
            )

    def default(self, message: StoredMessage) -> list[Key]:
        """Return the id of a message's stream, converted to the type of the primary key.

        Raises:
            ProjectionFailed: the stream has no id, or one that can't be converted.
        """
        _, separator, text = message.stream_name.partition("-")
        if not separator:
            raise self._failed(message, "its stream has no id, which is the key of the row")
        kind = self._types[0]
        if kind is str:
            return [text]
        with suppress(ValueError):
            key = _FROM_TEXT[kind](text)
            # Two streams, such as `order-7` and `order-007`, must not share a row.
            if str(key) == text:
                return [key]
        raise self._failed(
            message,
            f"the id of its stream is the key of the row, and must be a plain {name_of(kind)}",
        )

    def checked(self, message: StoredMessage, returned: object) -> list[Key]:
        """Return the keys that a key function has returned for a message.

        Args:
            message: the message.
            returned: a key, a list or set of keys, or None if the message concerns no row.

        Raises:
            ProjectionFailed: a key is not of the type of the primary key.
        """
        if returned is None:
            return []
        several = isinstance(returned, list | set | frozenset)
        # Each row once, in the order in which they were returned.
        keys = list(dict.fromkeys(returned)) if several else [returned]  # type: ignore[call-overload]  # narrowed by `several`
        for key in keys:
            self._check(message, key)
        return keys

    def _check(self, message: StoredMessage, key: object) -> None:
        values = key if isinstance(key, tuple) else (key,)
        if len(values) != len(self._types) or (len(self._types) == 1 and isinstance(key, tuple)):
            columns = ", ".join(self._names)
            raise self._failed(
                message,
                f"its key must have {len(self._types)} value{'s' * (len(self._types) != 1)} "
                f"({columns}), got {described(key)}",
            )
        for name, kind, value in zip(self._names, self._types, values, strict=True):
            if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
                raise self._failed(
                    message,
                    f"its key {name} must be of type {name_of(kind)}, got {described(value)}",
                )

    def _failed(self, message: StoredMessage, rule: str) -> ProjectionFailed:
        return ProjectionFailed(self._projection, message, rule)


def _python_type(column: Column[Any]) -> type:
    """Return the type of a column's values; `object` if any type is accepted."""
    if isinstance(column.type, TypeDecorator):
        return object
    try:
        return column.type.python_type
    except NotImplementedError:
        return object
