from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mdb_sqla.database.sessions import session_from
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.message_types import MessageTypes
from mdb_sqla.store import read_statements, writes
from mdb_sqla.store.bulk_load import Load
from mdb_sqla.store.pages import Pages, category_pages, message_pages, stream_pages
from mdb_sqla.store.query_reads import read_query
from mdb_sqla.store.read_arguments import DEFAULT_BATCH_SIZE, CategoryFilters
from mdb_sqla.store.write_arguments import WriteOptions
from mdb_sqla.words.argument_checks import described
from mdb_sqla.words.message import Message, MessagePosition, StoredMessage
from mdb_sqla.words.query import AppendCondition, Query, QueryResult

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
    from typing_extensions import Unpack

__all__ = ["AsyncMessageStore"]


class AsyncMessageStore:
    """The async version of `MessageStore`, with the same methods.

    Args:
        db: an `AsyncSession`, an `async_scoped_session` or an `AsyncConnection`.
        types: as for `MessageStore`.

    Raises:
        InvalidArgument: `db` is none of these.
    """

    def __init__(
        self,
        db: AsyncSession | async_scoped_session[AsyncSession] | AsyncConnection,
        *,
        types: MessageTypes | None = None,
    ) -> None:
        from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session

        if not isinstance(db, AsyncSession | async_scoped_session | AsyncConnection):
            raise InvalidArgument(
                f"db must be an AsyncSession or an AsyncConnection, got {described(db)}"
            )
        self._given = db
        self._types = types

    @property
    def _db(self) -> AsyncSession | AsyncConnection:
        if not callable(self._given):
            return self._given
        from sqlalchemy.ext.asyncio import AsyncSession

        return session_from(self._given, AsyncSession, "An AsyncMessageStore")

    async def write(
        self,
        stream_name: str,
        messages: Message | Iterable[Message] | Any,
        *,
        expected_version: int | None = None,
        tags: Iterable[str] | None = None,
        unless: AppendCondition | Iterable[AppendCondition] | None = None,
        idempotent: bool = True,
    ) -> int:
        """Write one or more messages to a stream, all or none. See `MessageStore.write`."""
        return await self._db.run_sync(
            writes.write,
            stream_name,
            messages,
            WriteOptions(expected_version, tags, unless, self._types),
            idempotent,
        )

    async def write_messages(
        self,
        messages: Iterable[tuple[str, Message | Any]],
        *,
        expected_versions: Mapping[str, int] | None = None,
        unless: AppendCondition | Iterable[AppendCondition] | None = None,
        idempotent: bool = True,
    ) -> list[MessagePosition]:
        """Write messages to any streams, all or none. See `MessageStore.write_messages`."""
        return await self._db.run_sync(
            writes.write_messages, messages, expected_versions, unless, idempotent, self._types
        )

    async def load(
        self,
        messages: Iterable[tuple[str, Message | Any]] | AsyncIterable[tuple[str, Message | Any]],
        *,
        idempotent: bool = True,
        progress: Callable[[int], object] | None = None,
    ) -> int:
        """Write any number of messages, all or none. See `MessageStore.load`."""
        load, db = Load(idempotent, progress, self._types), self._db
        await db.run_sync(load.begin)
        async with db.begin_nested():
            if isinstance(messages, AsyncIterable):
                async for pair in messages:
                    if load.add(pair):
                        await db.run_sync(load.write)
            else:
                for pair in messages:
                    if load.add(pair):
                        await db.run_sync(load.write)
            return await db.run_sync(load.write)

    async def read_stream(
        self,
        stream_name: str,
        position: int = 0,
        batch_size: int = DEFAULT_BATCH_SIZE,
        *,
        condition: str | None = None,
    ) -> list[StoredMessage]:
        """Read messages of a stream. See `MessageStore.read_stream`."""
        return await self._db.run_sync(
            read_statements.read_stream, stream_name, position, batch_size, condition
        )

    async def read_category(
        self,
        category: str,
        position: int = 1,
        batch_size: int = DEFAULT_BATCH_SIZE,
        **filters: Unpack[CategoryFilters],
    ) -> list[StoredMessage]:
        """Read messages of a category. See `MessageStore.read_category`."""
        return await self._db.run_sync(
            read_statements.read_category,
            category,
            position,
            batch_size,
            **filters,
        )

    async def read_messages(
        self,
        categories: Iterable[str] | None = None,
        position: int = 1,
        batch_size: int = DEFAULT_BATCH_SIZE,
        **filters: Unpack[CategoryFilters],
    ) -> list[StoredMessage]:
        """Read messages of several categories or all. See `MessageStore.read_messages`."""
        return await self._db.run_sync(
            read_statements.read_messages, categories, position, batch_size, **filters
        )

    async def read(self, query: Query, *, position: int = 1) -> QueryResult:
        """Read all messages that match a query. See `MessageStore.read`."""
        return await self._db.run_sync(read_query, query, position, self._types)

    async def settled_position(self, category: str | None = None) -> int:
        """Return the settled position. See `MessageStore.settled_position`."""
        return await self._db.run_sync(read_statements.settled_position, category)

    def iterate_stream(
        self,
        stream_name: str,
        position: int = 0,
        batch_size: int = DEFAULT_BATCH_SIZE,
        *,
        condition: str | None = None,
    ) -> AsyncIterator[StoredMessage]:
        """Iterate over the messages of a stream. See `MessageStore.iterate_stream`."""
        return self._iterate(stream_pages(stream_name, position, batch_size, condition))

    def iterate_category(
        self,
        category: str,
        position: int = 1,
        batch_size: int = DEFAULT_BATCH_SIZE,
        **filters: Unpack[CategoryFilters],
    ) -> AsyncIterator[StoredMessage]:
        """Iterate over the messages of a category. See `MessageStore.iterate_category`."""
        return self._iterate(category_pages(category, position, batch_size, filters))

    def iterate_messages(
        self,
        categories: Iterable[str] | None = None,
        position: int = 1,
        batch_size: int = DEFAULT_BATCH_SIZE,
        **filters: Unpack[CategoryFilters],
    ) -> AsyncIterator[StoredMessage]:
        """Iterate over the messages of several categories. See `MessageStore.iterate_messages`."""
        return self._iterate(message_pages(categories, position, batch_size, filters))

    async def last_message(
        self,
        stream_name: str,
        type: str | None = None,  # noqa: A002
    ) -> StoredMessage | None:
        """Return the last message of a stream or None. See `MessageStore.last_message`."""
        return await self._db.run_sync(read_statements.last_message, stream_name, type)

    async def version(self, stream_name: str) -> int:
        """Return the version of a stream. See `MessageStore.version`."""
        return await self._db.run_sync(read_statements.version, stream_name)

    async def _iterate(self, pages: Pages) -> AsyncIterator[StoredMessage]:
        while page := await self._db.run_sync(pages.next):
            for message in page:
                yield message
