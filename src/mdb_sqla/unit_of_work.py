from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sqlalchemy.orm import Session, scoped_session, sessionmaker

from mdb_sqla.async_store import AsyncMessageStore
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.message import Message
from mdb_sqla.outbox import PendingWrite, expect_on_commit, write_on_commit
from mdb_sqla.refusals import conflicts_translated, raise_conflict
from mdb_sqla.store import MessageStore

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker

__all__ = ["AsyncUnitOfWork", "UnitOfWork"]


class UnitOfWork:
    """One transaction for the application's own tables and its messages.

    Work with `session`, hand in messages with `write`, then `commit`: the session is flushed, the
    messages are written as the last statements, and all of it is committed. What isn't committed is
    rolled back when the block is left.

    Where PostgreSQL asks to run the transaction again, at any statement of the session's, the block
    raises `TransactionConflict`.

    Args:
        source: a `sessionmaker`, whose session is closed when the block is left, or a `Session` or
            `scoped_session` of the application's, which stays open.
    """

    def __init__(self, source: sessionmaker[Session] | scoped_session[Session] | Session) -> None:
        if not isinstance(source, sessionmaker | scoped_session | Session):
            raise InvalidArgument(f"A UnitOfWork needs a sessionmaker or a Session: {source!r}")
        self._source = source

    @classmethod
    def of(cls, session: Session) -> Self:
        """Return a unit of work within the session's transaction, which others commit."""
        return cls(session).__enter__()

    def __enter__(self) -> Self:
        source = self._source
        self.session: Session = source if isinstance(source, Session) else source()
        self.store = MessageStore(self.session)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(self._source, sessionmaker):
            self.session.close()
        else:
            self.session.rollback()
        raise_conflict(exc)

    def write(
        self,
        stream_name: str,
        messages: Message | Iterable[Message],
        *,
        expected_version: int | None = None,
    ) -> PendingWrite:
        """Hand in messages that `commit` writes. See `write_on_commit`."""
        return write_on_commit(
            self.session, stream_name, messages, expected_version=expected_version
        )

    def expect(self, stream_name: str, version: int) -> None:
        """Have `commit` refused if a stream is not at this version. See `expect_on_commit`."""
        expect_on_commit(self.session, stream_name, version)

    def commit(self) -> None:
        """Write the messages and commit.

        Raises:
            Refusal: the server refused a message; nothing was committed.
            TransactionConflict: a concurrent transaction came first; run the unit of work again.
        """
        with conflicts_translated():
            self.session.commit()

    def rollback(self) -> None:
        """Roll back, and forget the messages handed in."""
        self.session.rollback()


class AsyncUnitOfWork:
    """The `UnitOfWork` of an async application: the same, with `async with` and `await`.

    Args:
        source: an `async_sessionmaker`, whose session is closed when the block is left, or an
            `AsyncSession` or `async_scoped_session` of the application's, which stays open.
    """

    def __init__(
        self,
        source: async_sessionmaker[AsyncSession]
        | async_scoped_session[AsyncSession]
        | AsyncSession,
    ) -> None:
        from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker

        if not isinstance(source, async_sessionmaker | async_scoped_session | AsyncSession):
            raise InvalidArgument(
                f"An AsyncUnitOfWork needs an async_sessionmaker or an AsyncSession: {source!r}"
            )
        self._source = source
        self._owns_session = isinstance(source, async_sessionmaker)

    async def __aenter__(self) -> Self:
        source = self._source
        self.session: AsyncSession = source() if callable(source) else source
        self.store = AsyncMessageStore(self.session)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._owns_session:
            await self.session.close()
        else:
            await self.session.rollback()
        raise_conflict(exc)

    def write(
        self,
        stream_name: str,
        messages: Message | Iterable[Message],
        *,
        expected_version: int | None = None,
    ) -> PendingWrite:
        """Hand in messages that `commit` writes. See `write_on_commit`."""
        return write_on_commit(
            self.session, stream_name, messages, expected_version=expected_version
        )

    def expect(self, stream_name: str, version: int) -> None:
        """Have `commit` refused if a stream is not at this version. See `expect_on_commit`."""
        expect_on_commit(self.session, stream_name, version)

    async def commit(self) -> None:
        """Write the messages and commit. See `UnitOfWork.commit`."""
        with conflicts_translated():
            await self.session.commit()

    async def rollback(self) -> None:
        """Roll back, and forget the messages handed in."""
        await self.session.rollback()
