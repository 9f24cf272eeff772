from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from sqlalchemy.orm import Session, scoped_session, sessionmaker

from mdb_sqla.database.sessions import sync_session_of
from mdb_sqla.database.sqlstates import conflicts_translated, raise_conflict
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.message_types import MessageTypes
from mdb_sqla.outbox.session_scope import SessionBlock
from mdb_sqla.store.async_message_store import AsyncMessageStore
from mdb_sqla.store.message_store import MessageStore
from mdb_sqla.words.argument_checks import described

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker

__all__ = ["AsyncUnitOfWork", "UnitOfWork"]


class UnitOfWork(SessionBlock[Session, MessageStore]):
    """A context manager for one transaction of the application's tables and messages.

    Work with `session`, add messages with `write`, then call `commit`, which flushes the session,
    writes the messages as the last statements, and commits. Leaving the block without `commit()`
    rolls back. Afterwards the unit of work can be entered again. A session can have one unit of
    work at a time.

    If a statement of the session conflicts with a concurrent transaction, the block raises
    `TransactionConflict`.

    Args:
        source: a `sessionmaker`, whose session is closed at the end of the block, or a `Session` or
            `scoped_session`, which stays open. If the session has already begun a transaction, the
            unit of work continues it.
        types: the message types. With them, `write` accepts instances of their classes as messages.

    Raises:
        InvalidArgument: the source is none of these; the unit of work is already entered; the
            session already has a unit of work or pending messages; or a method is called outside
            the block.
    """

    _store = MessageStore

    def __init__(
        self,
        source: sessionmaker[Session] | scoped_session[Session] | Session,
        *,
        types: MessageTypes | None = None,
    ) -> None:
        if not isinstance(source, sessionmaker | scoped_session | Session):
            raise InvalidArgument(
                "source must be a sessionmaker, a scoped_session or a Session, got "
                f"{described(source)}"
            )
        self._source = source
        self._types = types
        self._owns_session = isinstance(source, sessionmaker)

    @classmethod
    def of(cls, session: Session, *, types: MessageTypes | None = None) -> Self:
        """Return a unit of work in the transaction of a session, which the session's owner commits.

        It is used without a `with` block, for as long as the session.
        """
        unit = cls(session, types=types)
        unit._session = sync_session_of(session)
        return unit

    def __enter__(self) -> Self:
        return self._enter(Session)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        session = self.session
        try:
            if self._rolls_back(session):
                session.rollback()
        finally:
            try:
                if self._owns_session:
                    session.close()
            finally:
                self._leave()
        raise_conflict(exc)

    def commit(self) -> None:
        """Write the messages and commit.

        Raises:
            Refusal: the server rejected the messages; nothing was committed.
            TransactionConflict: the transaction conflicts with a concurrent one; retry the whole
                unit of work.
        """
        with conflicts_translated():
            self.session.commit()

    def rollback(self) -> None:
        """Roll back, discarding pending messages."""
        self.session.rollback()


class AsyncUnitOfWork(SessionBlock["AsyncSession", AsyncMessageStore]):
    """The async version of `UnitOfWork`, for `async with`.

    Args:
        source: an `async_sessionmaker`, whose session is closed at the end of the block, or an
            `AsyncSession` or `async_scoped_session`, which stays open.
        types: as for `UnitOfWork`.
    """

    _store = AsyncMessageStore

    def __init__(
        self,
        source: async_sessionmaker[AsyncSession]
        | async_scoped_session[AsyncSession]
        | AsyncSession,
        *,
        types: MessageTypes | None = None,
    ) -> None:
        from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker

        if not isinstance(source, async_sessionmaker | async_scoped_session | AsyncSession):
            raise InvalidArgument(
                "source must be an async_sessionmaker, an async_scoped_session or an AsyncSession, "
                f"got {described(source)}"
            )
        self._source = source
        self._types = types
        self._owns_session = isinstance(source, async_sessionmaker)

    async def __aenter__(self) -> Self:
        from sqlalchemy.ext.asyncio import AsyncSession

        return self._enter(AsyncSession)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        session = self.session
        try:
            if self._rolls_back(session.sync_session):
                await session.rollback()
        finally:
            try:
                if self._owns_session:
                    await session.close()
            finally:
                self._leave()
        raise_conflict(exc)

    async def commit(self) -> None:
        """Write the messages and commit. See `UnitOfWork.commit`."""
        with conflicts_translated():
            await self.session.commit()

    async def rollback(self) -> None:
        """Roll back, discarding pending messages."""
        await self.session.rollback()
