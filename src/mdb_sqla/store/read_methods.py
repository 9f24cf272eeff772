from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from sqlalchemy import Connection
from sqlalchemy.orm import Session, scoped_session

from mdb_sqla.database.execution import database
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.store import read_statements
from mdb_sqla.store.pages import Pages, category_pages, message_pages, stream_pages
from mdb_sqla.store.read_arguments import DEFAULT_BATCH_SIZE, CategoryFilters
from mdb_sqla.words.argument_checks import described
from mdb_sqla.words.message import StoredMessage

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["MessageReader"]


class MessageReader:
    """The read methods of `MessageStore`.

    Args:
        db: a `Session`, a `scoped_session` or a `Connection`.
    """

    def __init__(self, db: Session | scoped_session[Session] | Connection) -> None:
        if not isinstance(db, Session | scoped_session | Connection):
            raise InvalidArgument(
                f"A {type(self).__name__} requires a Session or a Connection, got {described(db)}"
            )
        self._given = db

    @property
    def _db(self) -> Session | Connection:
        return database(self._given)

    def read_stream(
        self,
        stream_name: str,
        position: int = 0,
        batch_size: int = DEFAULT_BATCH_SIZE,
        *,
        condition: str | None = None,
    ) -> list[StoredMessage]:
        """Read messages of a stream from a position on, in order.

        Args:
            stream_name: the stream.
            position: the first position.
            batch_size: the maximum number of messages; -1 for no limit.
            condition: an SQL expression over the columns of `messages`; requires the setting
                `message_store.sql_condition` to be `on`.

        Raises:
            NotAStream: the name is a category.
            ConditionNotActivated: there is a condition, but the setting is not `on`.
        """
        return read_statements.read_stream(self._db, stream_name, position, batch_size, condition)

    def read_category(
        self,
        category: str,
        position: int = 1,
        batch_size: int = DEFAULT_BATCH_SIZE,
        **filters: Unpack[CategoryFilters],
    ) -> list[StoredMessage]:
        """Read messages of a category from a global position on, in order.

        Args:
            category: the category.
            position: the first global position.
            batch_size: the maximum number of messages; -1 for no limit.
            filters: see `CategoryFilters`.

        Raises:
            NotACategory: the name is a stream.
            ReadNotExact: the lock granularity is `stream`, and the isolation level is not READ
                COMMITTED or the server is a standby.
            InvalidCorrelation: the correlation is a stream.
            InvalidConsumerGroup: member or size is missing or out of range.
            ConditionNotActivated: there is a condition, but the setting is not `on`.
        """
        return read_statements.read_category(
            self._db,
            category,
            position,
            batch_size,
            **filters,
        )

    def read_messages(
        self,
        categories: Iterable[str] | None = None,
        position: int = 1,
        batch_size: int = DEFAULT_BATCH_SIZE,
        **filters: Unpack[CategoryFilters],
    ) -> list[StoredMessage]:
        """Read messages of several categories, or of all, from a global position on, in order.

        Args:
            categories: the categories; None for all.
            position: the first global position.
            batch_size: the maximum number of messages; -1 for no limit.
            filters: see `CategoryFilters`.

        Raises:
            NotACategory: a name is a stream.
            ReadNotExact: the isolation level is not READ COMMITTED, or the server is a standby.
            InvalidCorrelation: the correlation is a stream.
            InvalidConsumerGroup: member or size is missing or out of range.
            ConditionNotActivated: there is a condition, but the setting is not `on`.
        """
        return read_statements.read_messages(self._db, categories, position, batch_size, **filters)

    def settled_position(self, category: str | None = None) -> int:
        """Return the settled position: the global position up to which no message can still appear.

        A later read in the same transaction reads at least up to it. So if a read with a filter
        returns less than a batch, the next read may start after it.

        Args:
            category: the category; None for all.

        Raises:
            NotACategory: the name is a stream.
            ReadNotExact: the isolation level is not READ COMMITTED, or the server is a standby.
        """
        return read_statements.settled_position(self._db, category)

    def iterate_stream(
        self,
        stream_name: str,
        position: int = 0,
        batch_size: int = DEFAULT_BATCH_SIZE,
        *,
        condition: str | None = None,
    ) -> Iterator[StoredMessage]:
        """Iterate over a stream; holds one batch at a time. See `read_stream`."""
        return self._iterate(stream_pages(stream_name, position, batch_size, condition))

    def iterate_category(
        self,
        category: str,
        position: int = 1,
        batch_size: int = DEFAULT_BATCH_SIZE,
        **filters: Unpack[CategoryFilters],
    ) -> Iterator[StoredMessage]:
        """Iterate over a category; holds one batch at a time. See `read_category`."""
        return self._iterate(category_pages(category, position, batch_size, filters))

    def iterate_messages(
        self,
        categories: Iterable[str] | None = None,
        position: int = 1,
        batch_size: int = DEFAULT_BATCH_SIZE,
        **filters: Unpack[CategoryFilters],
    ) -> Iterator[StoredMessage]:
        """Iterate over several categories, or all; holds one batch at a time. See `read_messages`.

        It ends at the settled position as of the last page.
        """
        return self._iterate(message_pages(categories, position, batch_size, filters))

    def last_message(self, stream_name: str, type: str | None = None) -> StoredMessage | None:  # noqa: A002
        """Return the last message of a stream, optionally of a type; None if there is none."""
        return read_statements.last_message(self._db, stream_name, type)

    def version(self, stream_name: str) -> int:
        """Return the position of a stream's last message; `NO_STREAM` (-1) if there is none."""
        return read_statements.version(self._db, stream_name)

    def _iterate(self, pages: Pages) -> Iterator[StoredMessage]:
        while page := pages.next(self._db):
            yield from page
