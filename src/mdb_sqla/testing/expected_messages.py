"""Comparison of the messages of a stream with those that a test expects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection
from sqlalchemy.orm import Session, scoped_session

from mdb_sqla.database.execution import Database, database
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.message_types import MessageTypes
from mdb_sqla.outbox.unit_of_work import AsyncUnitOfWork, UnitOfWork
from mdb_sqla.store.async_message_store import AsyncMessageStore
from mdb_sqla.store.message_store import MessageStore
from mdb_sqla.store.read_statements import read_stream
from mdb_sqla.testing.differences import check_messages, expected_message
from mdb_sqla.words.argument_checks import described
from mdb_sqla.words.message import StoredMessage

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session

__all__ = ["expect_messages", "expect_messages_async"]


def expect_messages(
    source: UnitOfWork | Session | scoped_session[Session] | Connection | MessageStore,
    stream_name: str,
    expected: Sequence[Any],
    *,
    position: int = 0,
    types: MessageTypes | None = None,
) -> list[StoredMessage]:
    """Check the messages of a stream, and return them.

    Args:
        source: a session, a connection, a unit of work or a message store. Messages that are
            pending until commit are not read.
        stream_name: the stream.
        expected: all messages of the stream from the position on. Of a string, which is the name of
            a message type, only the type is compared; of a `Message` or an instance of a message
            type, the data as well, and the keys of the metadata that a `Message` has.
        position: the position to start at.
        types: the message types of expected instances.

    Raises:
        AssertionError: the messages differ; the text shows the difference.
        InvalidArgument: an argument is invalid.
    """
    if isinstance(source, UnitOfWork):
        source = source.session
    db = source._db if isinstance(source, MessageStore) else database(source)
    return _expect(db, stream_name, expected, position, types)


async def expect_messages_async(
    source: AsyncUnitOfWork
    | AsyncSession
    | async_scoped_session[AsyncSession]
    | AsyncConnection
    | AsyncMessageStore,
    stream_name: str,
    expected: Sequence[Any],
    *,
    position: int = 0,
    types: MessageTypes | None = None,
) -> list[StoredMessage]:
    """Check the messages of a stream over an async session. See `expect_messages`."""
    store = source.store if isinstance(source, AsyncUnitOfWork) else source
    if not isinstance(store, AsyncMessageStore):
        store = AsyncMessageStore(store)
    return await store._db.run_sync(_expect, stream_name, expected, position, types)


def _expect(
    db: Database,
    stream_name: str,
    expected: Sequence[Any],
    position: int,
    types: MessageTypes | None,
) -> list[StoredMessage]:
    if isinstance(expected, str) or not isinstance(expected, Sequence):
        raise InvalidArgument(f"expected must be a list of messages, got {described(expected)}")
    messages = [expected_message(each, types) for each in expected]
    found = read_stream(db, stream_name, position, -1, None)
    check_messages(f"Stream {stream_name} has other messages", messages, found)
    return found
