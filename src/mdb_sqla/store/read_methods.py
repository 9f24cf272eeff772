from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from sqlalchemy import Connection
from sqlalchemy.orm import Session, scoped_session

from mdb_sqla.database.execution import database
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.message_types import MessageTypes
from mdb_sqla.store import read_statements
from mdb_sqla.store.pages import Pages, category_pages, message_pages, stream_pages
from mdb_sqla.store.query_reads import read_query
from mdb_sqla.store.read_arguments import DEFAULT_BATCH_SIZE, CategoryFilters
from mdb_sqla.words.argument_checks import described
from mdb_sqla.words.message import StoredMessage
from mdb_sqla.words.query import Query, QueryResult

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["MessageReader"]


class MessageReader:
    """The read methods of `MessageStore`.

    Args:
        db: a `Session`, a `scoped_session` or a `Connection`.
    """

    _types: MessageTypes | None = None

    def __init__(self, db: Session | scoped_session[Session] | Connection) -> None:
        if not isinstance(db, Session | scoped_session | Connection):
            raise InvalidArgument(
                f"db must be a Session or a Connection, got {described(db)}; with an AsyncSession "
                "or an AsyncConnection, use AsyncMessageStore"
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
        """Read messages of a stream in order, starting at a position.

        Args:
            stream_name: the stream.
            position: the position to start at.
            batch_size: the maximum number of messages; -1 for no limit.
            condition: an SQL expression over the columns of `messages` that selects messages.
                Requires the setting `message_store.sql_condition` to be `on`.

        Raises:
            NotAStream: the name is that of a category.
            ConditionNotActivated: a condition was passed, but the setting is not `on`.
        """
        return read_statements.read_stream(self._db, stream_name, position, batch_size, condition)

    def read_category(
        self,
        category: str,
        position: int = 1,
        batch_size: int = DEFAULT_BATCH_SIZE,
        **filters: Unpack[CategoryFilters],
    ) -> list[StoredMessage]:
        """Read messages of a category in order, starting at a global position.

        Args:
            category: the category.
            position: the global position to start at.
            batch_size: the maximum number of messages; -1 for no limit.
            filters: `correlation`, `consumer_group_member` and `consumer_group_size`, `condition`;
                see `CategoryFilters`.

        Raises:
            NotACategory: the name is that of a stream.
            ReadNotExact: the lock granularity is `stream`, and the isolation level is not READ
                COMMITTED or the server is a standby.
            InvalidCorrelation: the correlation is a stream name.
            InvalidConsumerGroup: the member or the size is missing or out of range.
            ConditionNotActivated: a condition was passed, but the setting is not `on`.
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
        """Read messages of several categories, or all, in order, starting at a global position.

        Args:
            categories: the categories; None for all.
            position: the global position to start at.
            batch_size: the maximum number of messages; -1 for no limit.
            filters: see `read_category`.

        Raises:
            NotACategory: a name is that of a stream.
            ReadNotExact: the isolation level is not READ COMMITTED, or the server is a standby.
            InvalidCorrelation: the correlation is a stream name.
            InvalidConsumerGroup: the member or the size is missing or out of range.
            ConditionNotActivated: a condition was passed, but the setting is not `on`.
        """
        return read_statements.read_messages(self._db, categories, position, batch_size, **filters)

    def read(self, query: Query, *, position: int = 1) -> QueryResult:
        """Read all messages that match a query, in order, starting at a global position.

        Pass `query.after(result)` as `unless` when you write what you have decided.

        Args:
            query: the query.
            position: the global position to start at. To update the state of an earlier decision,
                start after the position of its result.

        Returns:
            The messages, and the global position up to which the result is complete.

        Raises:
            InvalidArgument: a type of the query is a class that is not a message type.
            ReadNotExact: the isolation level is not READ COMMITTED, or the server is a standby.
        """
        return read_query(self._db, query, position, self._types)

    def settled_position(self, category: str | None = None) -> int:
        """Return the settled position: the global position up to which no message can still appear.

        A later read in the same transaction sees all messages up to it. So if a filtered read
        returns less than a full batch, the next read can start after the settled position.

        Args:
            category: the category; None for all.

        Raises:
            NotACategory: the name is that of a stream.
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
        """Iterate over the messages of a stream, keeping one batch in memory. See `read_stream`."""
        return self._iterate(stream_pages(stream_name, position, batch_size, condition))

    def iterate_category(
        self,
        category: str,
        position: int = 1,
        batch_size: int = DEFAULT_BATCH_SIZE,
        **filters: Unpack[CategoryFilters],
    ) -> Iterator[StoredMessage]:
        """Iterate over the messages of a category, keeping one batch in memory.

        See `read_category`.
        """
        return self._iterate(category_pages(category, position, batch_size, filters))

    def iterate_messages(
        self,
        categories: Iterable[str] | None = None,
        position: int = 1,
        batch_size: int = DEFAULT_BATCH_SIZE,
        **filters: Unpack[CategoryFilters],
    ) -> Iterator[StoredMessage]:
        """Iterate over the messages of several categories, or all, keeping one batch in memory.

        The iteration ends at the settled position as of the last batch. See `read_messages`.
        """
        return self._iterate(message_pages(categories, position, batch_size, filters))

    def last_message(self, stream_name: str, type: str | None = None) -> StoredMessage | None:  # noqa: A002
        """Return the last message of a stream, or its last one of a type; None if there is none."""
        return read_statements.last_message(self._db, stream_name, type)

    def version(self, stream_name: str) -> int:
        """Return the version of a stream: its last message's position, or `NO_STREAM` (-1)."""
        return read_statements.version(self._db, stream_name)

    def _iterate(self, pages: Pages) -> Iterator[StoredMessage]:
        while page := pages.next(self._db):
            yield from page
