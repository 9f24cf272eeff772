"""Reads messages as they are stored, for export and for people."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import (
    TIMESTAMP,
    ColumnElement,
    TableValuedAlias,
    Text,
    Uuid,
    cast,
    select,
    type_coerce,
)

from mdb_sqla import functions, tables
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.execution import Database, execute_raw
from mdb_sqla.lines import RawMessage
from mdb_sqla.reading import settled_position, version
from mdb_sqla.stream_name import StreamName

__all__ = ["RawReader"]

_BATCH = 5_000  # messages


class RawReader:
    """Reads a stream, a category or all messages, in batches, and remembers where it is.

    Only what is settled is read, so that nothing is ever skipped.

    Args:
        name: the stream or category; None for all messages.
        position: where to begin: the position in a stream, else the global position; None for the
            first message.
        correlation: only messages whose `correlationStreamName` is of this category.

    Raises:
        InvalidStreamName: the name is none.
        InvalidArgument: the position is negative, or the correlation is a stream's name, or for a
            stream.
    """

    def __init__(
        self,
        name: str | None = None,
        position: int | None = None,
        correlation: str | None = None,
    ) -> None:
        self._name = None if name is None else StreamName(name)
        self._is_stream = self._name is not None and not self._name.is_category
        if self._is_stream and correlation is not None:
            raise InvalidArgument(
                f"A correlation is for a category or all messages, not for a stream: {name!r}"
            )
        if position is not None and position < 0:
            raise InvalidArgument(f"The position must not be negative: {position}")
        if correlation is not None and not StreamName(correlation).is_category:
            raise InvalidArgument(f"The correlation must be a category: {correlation!r}")
        self._correlation = None if correlation is None else StreamName(correlation)
        self.position = (0 if self._is_stream else 1) if position is None else position
        self.last_id: UUID | None = None
        """Which message came before this position, where an export goes on."""

    @property
    def category(self) -> str | None:
        """The category of what is read; None for all."""
        return None if self._name is None else self._name.category

    def end(self, db: Database) -> int:
        """Return the last position that can be read now; nothing new can appear up to there."""
        if self._name is not None and self._is_stream:
            return version(db, self._name)
        return settled_position(db, self._name)

    def next(self, db: Database, size: int = _BATCH) -> list[RawMessage]:
        """Return the next messages, at most so many; none where there is nothing more now.

        Raises:
            ReadNotExact: the isolation level is not READ COMMITTED, or the server is a standby.
            StoreNotInstalled: there is no store in the database.
        """
        # Asked for before the read: what a filter rules out up to there is done.
        settled = self.end(db)
        rows = execute_raw(db, select(*_columns(self._messages(size))), {}, tables.messages)
        found = list(map(RawMessage._make, rows))
        if len(found) == size:
            self.position = self.position_of(found[-1]) + 1
        else:
            last = self.position_of(found[-1]) if found else -1
            self.position = max(self.position, last + 1, settled + 1)
        return found

    @property
    def counts_by(self) -> str:
        """Which position of a message it is that this reader counts by."""
        return "position" if self._is_stream else "global_position"

    def position_of(self, message: RawMessage) -> int:
        """Return the position that this reader counts by."""
        return message.position if self._is_stream else message.global_position

    def includes(self, stream_name: str) -> bool:
        """Whether a stream is among what is read."""
        if self._name is None:
            return True
        name = StreamName(stream_name)
        return self._name == (name if self._is_stream else name.category)

    def _messages(self, size: int) -> TableValuedAlias:
        if self._is_stream:
            return functions.get_stream_messages(self._name, self.position, size)
        categories = None if self._name is None else [self._name]
        return functions.get_messages(categories, self.position, size, self._correlation)


def _columns(messages: TableValuedAlias) -> list[ColumnElement[Any]]:
    columns = messages.c
    return [
        # Drivers make a UUID faster than Python does.
        cast(type_coerce(columns.id, Text), Uuid),
        columns.stream_name,
        columns.type,
        columns.position,
        columns.global_position,
        type_coerce(columns.data, Text),
        type_coerce(columns.metadata, Text),
        type_coerce(columns.time, TIMESTAMP),
    ]
