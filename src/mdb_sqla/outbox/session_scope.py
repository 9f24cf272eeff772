"""The block of a unit of work, which has a session for itself from entering to leaving."""

from __future__ import annotations

import os
from collections.abc import Iterable
from threading import RLock
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar
from weakref import WeakValueDictionary

from sqlalchemy.orm import Session

from mdb_sqla.database.sessions import is_joined, session_from, sync_session_of
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.outbox.pending_write import PendingWrite
from mdb_sqla.outbox.write_on_commit import expect_on_commit, has_pending, write_on_commit
from mdb_sqla.store.async_message_store import AsyncMessageStore
from mdb_sqla.store.message_store import MessageStore
from mdb_sqla.words.message import Message

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

__all__ = ["SessionBlock"]

_S = TypeVar("_S", bound="Session | AsyncSession")
_Store = TypeVar("_Store", MessageStore, AsyncMessageStore)


class SessionBlock(Generic[_S, _Store]):
    """What a unit of work is, whether it is awaited or not."""

    _source: Any
    _owns_session: bool
    _store: type[_Store]
    _session: _S | None = None

    @property
    def session(self) -> _S:
        """The session, within the block.

        Raises:
            InvalidArgument: the block is not entered yet, or was left.
        """
        if self._session is None:
            raise InvalidArgument(
                f"This {type(self).__name__} is used outside of its block: nothing would commit "
                "what is done there"
            )
        return self._session

    @property
    def store(self) -> _Store:
        """A message store over the session."""
        return self._store(self.session)  # type: ignore[arg-type]  # each has its own kind

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

    def _enter(self, kind: type[_S]) -> Self:
        # Whoever keeps the unit's own session, or a store over it, would begin transactions that
        # nothing commits.
        options = {"close_resets_only": False} if self._owns_session else {}
        user = f"The block of this {type(self).__name__}"
        session = session_from(self._source, kind, user, **options)
        sync_session = sync_session_of(session)
        # Of two threads, only one gets in.
        with _entering:
            if self._session is not None:
                raise InvalidArgument(
                    f"This {type(self).__name__} is entered already: what is handed in within the "
                    "inner block would end with it. Make one for each block"
                )
            if sync_session.hash_key in _of_session:
                raise InvalidArgument(
                    "The session has a unit of work already: leaving an inner one would roll back "
                    "the outer one's work. Pass the outer one on, or use another session"
                )
            if has_pending(sync_session):
                raise InvalidArgument(
                    "The session holds back messages that were handed in before this unit of work: "
                    "leaving it would roll them back. Commit them first, or hand them in through it"
                )
            _of_session[sync_session.hash_key] = self
            self._session = session
        return self

    def _rolls_back(self, session: Session) -> bool:
        # Closing rolls back and leaves loaded objects as they are, unless a connection of the
        # application's goes on with the transaction.
        return not self._owns_session or is_joined(session)

    def _leave(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            _of_session.pop(sync_session_of(session).hash_key, None)


# By the number that SQLAlchemy gives to each session: an application's subclass need not be
# hashable. A unit that is forgotten within its block leaves no trace.
_of_session: WeakValueDictionary[int, SessionBlock[Any, Any]] = WeakValueDictionary()
# To be entered again by a signal handler.
_entering = RLock()


def _forget() -> None:
    """Leave a lock that another thread held to the process that this one was forked from."""
    global _entering
    _entering = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
