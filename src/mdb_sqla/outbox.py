"""Messages that are held back until just before COMMIT."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, event
from sqlalchemy.orm import Session, SessionTransaction, scoped_session

from mdb_sqla import tables
from mdb_sqla.errors import InvalidArgument, NotCommitted, SavepointLeftOpen
from mdb_sqla.message import Message
from mdb_sqla.stream_name import StreamName
from mdb_sqla.writing import Write, write_all

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session

    AnySession = (
        Session | scoped_session[Session] | AsyncSession | async_scoped_session[AsyncSession]
    )

__all__ = ["PendingWrite", "write_on_commit"]


class PendingWrite:
    """What was handed in to be written at commit."""

    __slots__ = ("_position", "write")

    def __init__(self, write: Write) -> None:
        self.write = write
        self._position: int | None = None

    @property
    def stream_name(self) -> StreamName:
        """The stream."""
        return self.write.stream_name

    @property
    def position(self) -> int:
        """The position of the last message, once the transaction is committed.

        Raises:
            NotCommitted: it isn't committed, or was rolled back.
        """
        if self._position is None:
            raise NotCommitted(self.stream_name)
        return self._position


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
    session's transaction.

    Args:
        session: a `Session` or an `AsyncSession`, or a scoped one.
        stream_name: the stream.
        messages: one message or several, in this order.
        expected_version: the position that the stream's last message must have at commit;
            `NO_STREAM` for a stream that must not exist yet; None for any.

    Raises:
        InvalidArgument: the session is none, the stream name is none, there is no message.
    """
    sync_session = _sync_session(session)
    pending = PendingWrite(Write.checked(stream_name, messages, expected_version))
    if not sync_session.in_transaction():
        if not sync_session.autobegin:
            raise InvalidArgument("The session has autobegin=False: begin a transaction first")
        sync_session.begin()
    _Outbox.of(sync_session).add(pending)
    return pending


class _Outbox:
    """The messages that a session holds back, and the events of the session that write them."""

    @classmethod
    def of(cls, session: Session) -> _Outbox:
        """Return the session's outbox; the first call attaches one."""
        outbox = session.info.get(cls)
        if outbox is None:
            outbox = session.info[cls] = cls(session)
        return outbox

    def __init__(self, session: Session) -> None:
        self._session = session
        self._pending: list[PendingWrite] = []
        self._written: list[tuple[PendingWrite, int]] = []
        self._committing = False
        # How long both lists were when each open savepoint was set. Savepoints end last in, first
        # out, so a rollback cuts the lists to that length.
        self._lengths: dict[SessionTransaction, tuple[int, int]] = {}
        transaction = session.get_nested_transaction()
        while transaction is not None:
            self._after_transaction_create(session, transaction)
            transaction = transaction.parent
        for name in (
            "after_transaction_create",
            "before_commit",
            "after_commit",
            "after_transaction_end",
        ):
            event.listen(session, name, getattr(self, f"_{name}"))

    def add(self, pending: PendingWrite) -> None:
        self._pending.append(pending)
        if self._committing:
            # Handed in by an event handler that runs after ours did: there is no later moment.
            self._write()

    def _write(self) -> None:
        if self._pending:
            positions = write_all(self._session, [pending.write for pending in self._pending])
            self._written.extend(zip(self._pending, positions, strict=True))
            self._pending.clear()

    def _after_transaction_create(self, session: Session, transaction: SessionTransaction) -> None:
        if transaction.nested:
            self._lengths[transaction] = (len(self._pending), len(self._written))

    def _before_commit(self, session: Session) -> None:
        if session.in_nested_transaction():
            # Either a savepoint is released, or the session is committed while one is open: then
            # there is no further event before the COMMIT, and what is pending would be lost.
            if self._pending:
                self._guard(session.connection(bind_arguments={"clause": tables.messages}))
            return
        session.flush()
        self._write()
        self._committing = True

    def _guard(self, connection: Connection) -> None:
        if not event.contains(connection, "commit", self._refuse_pending):
            event.listen(connection, "commit", self._refuse_pending)

    def _refuse_pending(self, connection: Connection) -> None:
        if self._pending:
            raise SavepointLeftOpen

    def _after_commit(self, session: Session) -> None:
        savepoint = session.get_nested_transaction()
        if savepoint is not None:
            self._lengths.pop(savepoint, None)
            return
        for pending, position in self._written:
            pending._position = position

    def _after_transaction_end(self, session: Session, transaction: SessionTransaction) -> None:
        if transaction.parent is None:
            self._pending.clear()
            self._written.clear()
            self._lengths.clear()
            self._committing = False
        elif transaction in self._lengths:
            pending, written = self._lengths.pop(transaction)
            del self._pending[pending:]
            del self._written[written:]


def _sync_session(session: Any) -> Session:
    if hasattr(session, "registry"):
        session = session()
    session = getattr(session, "sync_session", session)
    if not isinstance(session, Session):
        raise InvalidArgument(
            f"Messages are handed in to a Session or an AsyncSession: {session!r}"
        )
    return session
