"""Writes that are pending until a session commits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session, scoped_session

from mdb_sqla.database.execution import dialect_of
from mdb_sqla.database.sessions import sync_session_of
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.message_types import MessageTypes
from mdb_sqla.outbox.pending_write import PendingWrite
from mdb_sqla.outbox.session_outbox import Outbox
from mdb_sqla.store.write_arguments import Write, WriteOptions
from mdb_sqla.words.message import Message
from mdb_sqla.words.query import AppendCondition

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session

    AnySession = (
        Session | scoped_session[Session] | AsyncSession | async_scoped_session[AsyncSession]
    )

__all__ = ["expect_on_commit", "has_pending", "write_on_commit"]


def write_on_commit(
    session: AnySession,
    stream_name: str,
    messages: Message | Iterable[Message] | Any,
    *,
    expected_version: int | None = None,
    tags: Iterable[str] | None = None,
    unless: AppendCondition | Iterable[AppendCondition] | None = None,
    types: MessageTypes | None = None,
) -> PendingWrite:
    """Add messages to the session's outbox, which it writes as its last statements before COMMIT.

    Use the session as usual: `session.commit()` flushes it, writes the messages, and commits rows
    and messages together. A rollback discards the messages; a rollback to a savepoint discards
    those added since. If the server rejects the messages, `session.commit()` raises the error,
    nothing is committed, and the session must be rolled back.

    Like `session.add()`, this begins a transaction if there is none. Data and metadata are
    serialized immediately.

    Args:
        session: a `Session` or an `AsyncSession`, or a scoped one.
        stream_name: the stream.
        messages: one or more messages, in this order.
        expected_version: for optimistic concurrency, the required position of the stream's last
            message at commit; `NO_STREAM` if the stream must not exist; None for any version.
        tags: tags of all messages, in addition to those in their metadata.
        unless: append conditions, such as `query.after(result)`. The commit fails if another
            message matches the query after the position. All conditions of a commit are checked
            before its messages are written, which don't count.
        types: the message types. With them, instances of their classes are accepted as messages.

    Returns:
        The pending write, whose positions are available after the commit.

    Raises:
        InvalidArgument: the session is invalid, or its transaction was already committed or rolled
            back; the stream name, a tag or a condition is invalid; or there is no message.
        InvalidMessage: data or metadata is not JSON.
    """
    sync_session = sync_session_of(session)
    options = WriteOptions(expected_version, tags, unless, types)
    return _add(sync_session, Write.checked(sync_session, stream_name, messages, options))


def expect_on_commit(session: AnySession, stream_name: str, version: int) -> None:
    """Make the session's commit fail unless a stream that you have read is still at a version.

    The stream is locked and its version is checked before any message is written. Otherwise this
    works like `write_on_commit`.

    Args:
        session: a `Session` or an `AsyncSession`, or a scoped one.
        stream_name: the stream.
        version: the required position of the stream's last message at commit; `NO_STREAM` if the
            stream must not exist.

    Raises:
        InvalidArgument: the session is invalid, or its transaction was already committed or rolled
            back; the stream name is invalid; or the version is not an integer of at least -1.
    """
    sync_session = sync_session_of(session)
    dialect_of(sync_session)
    _add(sync_session, Write.expecting(stream_name, version))


def has_pending(session: Session) -> bool:
    """Return whether the session's transaction has pending messages or expected versions."""
    outbox = Outbox.existing(session.get_transaction())
    return outbox is not None and bool(outbox.pending)


def _add(session: Session, write: Write) -> PendingWrite:
    if not session.in_transaction():
        if not session.autobegin:
            raise InvalidArgument("The session has autobegin=False: begin a transaction first")
        session.begin()
    pending = PendingWrite(write)
    Outbox.of(session).add(pending)
    return pending
