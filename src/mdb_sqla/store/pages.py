"""Paged reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mdb_sqla.database.execution import Database
from mdb_sqla.errors import InvalidArgument, UndecodableMessage
from mdb_sqla.store.read_arguments import (
    CategoryFilters,
    category_names,
    checked_batch_size,
    checked_position,
)
from mdb_sqla.store.read_statements import read_category, read_messages, read_stream
from mdb_sqla.words.message import StoredMessage
from mdb_sqla.words.stream_name import StreamName

__all__ = ["Pages", "category_pages", "message_pages", "stream_pages"]


class Pages:
    """A paged read; each page continues after the previous one."""

    def __init__(
        self,
        read: Callable[[Database, int], list[StoredMessage]],
        position_of: Callable[[StoredMessage], int],
        position: int,
        batch_size: int,
    ) -> None:
        if batch_size == -1:
            raise InvalidArgument("batch_size must be at least 1 for an iterator, got -1")
        self._read = read
        self._position_of = position_of
        self._position = checked_position(position)
        self._batch_size = checked_batch_size(batch_size)
        self._is_done = False
        self._error: UndecodableMessage | None = None

    def next(self, db: Database) -> list[StoredMessage]:
        """Return the next page; empty at the end.

        Raises:
            UndecodableMessage: the next message can't be decoded; all earlier ones were returned.
        """
        if self._error is not None:
            raise self._error
        if self._is_done:
            return []
        try:
            page = self._read(db, self._position)
        except UndecodableMessage as error:
            if not error.before:
                raise
            self._error = error
            return error.before
        self._is_done = len(page) < self._batch_size
        if page:
            self._position = self._position_of(page[-1]) + 1
        return page


def stream_pages(stream_name: str, position: int, batch_size: int, condition: str | None) -> Pages:
    name = StreamName(stream_name)

    def read(db: Database, position: int) -> list[StoredMessage]:
        return read_stream(db, name, position, batch_size, condition)

    return Pages(read, lambda message: message.position, position, batch_size)


def category_pages(
    category: str, position: int, batch_size: int, filters: CategoryFilters
) -> Pages:
    name = StreamName(category)

    def read(db: Database, position: int) -> list[StoredMessage]:
        return read_category(db, name, position, batch_size, **filters)

    return Pages(read, lambda message: message.global_position, position, batch_size)


def message_pages(
    categories: Iterable[str] | None, position: int, batch_size: int, filters: CategoryFilters
) -> Pages:
    names = category_names(categories)

    def read(db: Database, position: int) -> list[StoredMessage]:
        return read_messages(db, names, position, batch_size, **filters)

    return Pages(read, lambda message: message.global_position, position, batch_size)
