"""What applications hand in, to be written when their session commits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session, scoped_session

from mdb_sqla.database.execution import dialect_of
from mdb_sqla.database.sessions import sync_session_of
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.outbox.pending_write import PendingWrite
from mdb_sqla.outbox.session_outbox import Outbox
from mdb_sqla.store.write_arguments import Write
from mdb_sqla.words.message import Message

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session

    AnySession = (
        Session | scoped_session[Session] | AsyncSession | async_scoped_session[AsyncSession]
    )

__all__ = ["expect_on_commit", "has_pending", "write_on_commit"]


def write_on_commit(
    session: AnySession,
    stream_name: str,
    messages: Message | Iterable[Message],
    *,
    expected_version: int | None = None,
) -> PendingWrite:
    """Hand in messages that the session writes as the last statements before its next COMMIT.

    Nothing else changes for the session: `session.commit()` flushes it, writes the messages and
    commits all of it; a rollback forgets them, and so does a rollback to a savepoint for those that
    were handed in since it was set. If the write is refused, `session.commit()` raises the refusal,
    nothing is committed, and the session is to be rolled back. Like `session.add()` it begins the
    session's transaction. Data and metadata are serialized now: later changes to them don't count.

    Args:
        session: a `Session` or an `AsyncSession`, or a scoped one.
        stream_name: the stream.
        messages: one message or several, in this order.
        expected_version: the position that the stream's last message must have at commit;
            `NO_STREAM` for a stream that must not exist yet; None for any.

    Raises:
        InvalidArgument: the session is none, or its transaction is committed or rolled back
            already; the stream name is none; there is no message.
        InvalidMessage: data or metadata is not JSON.
    """
    sync_session = sync_session_of(session)
    return _hand_in(
        sync_session, Write.checked(sync_session, stream_name, messages, expected_version)
    )


def expect_on_commit(session: AnySession, stream_name: str, version: int) -> None:
    """Have the session commit only if a stream that it has read is still at this version.

    The stream is locked and compared with those that are written to, before anything is written.
    All else is as with `write_on_commit`.

    Args:
        session: a `Session` or an `AsyncSession`, or a scoped one.
        stream_name: the stream.
        version: the position that the stream's last message must have at commit; `NO_STREAM` for a
            stream that must not exist.

    Raises:
        InvalidArgument: the session is none, or its transaction is committed or rolled back
            already; the stream name is none; the version is no integer from -1 on.
    """
    sync_session = sync_session_of(session)
    dialect_of(sync_session)
    _hand_in(sync_session, Write.expecting(stream_name, version))


def has_pending(session: Session) -> bool:
    """Whether the session's transaction holds back messages, or expected versions."""
    outbox = Outbox.existing(session.get_transaction())
    return outbox is not None and bool(outbox.pending)


def _hand_in(session: Session, write: Write) -> PendingWrite:
    if not session.in_transaction():
        if not session.autobegin:
            raise InvalidArgument("The session has autobegin=False: begin a transaction first")
        session.begin()
    pending = PendingWrite(write)
    Outbox.of(session).add(pending)
    return pending
