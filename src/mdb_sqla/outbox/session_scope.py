"""The block of a unit of work, with exclusive use of a session."""

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
    """The base class of the sync and the async unit of work."""

    _source: Any
    _owns_session: bool
    _store: type[_Store]
    _session: _S | None = None

    @property
    def session(self) -> _S:
        """The session, within the block.

        Raises:
            InvalidArgument: used outside of the block.
        """
        if self._session is None:
            raise InvalidArgument(
                f"This {type(self).__name__} is used outside of its block, where nothing would be "
                "committed: use it within `with`"
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
        """Add messages that `commit` writes. See `write_on_commit`."""
        return write_on_commit(
            self.session, stream_name, messages, expected_version=expected_version
        )

    def expect(self, stream_name: str, version: int) -> None:
        """Let `commit` fail if a stream is not at this version. See `expect_on_commit`."""
        expect_on_commit(self.session, stream_name, version)

    def _enter(self, kind: type[_S]) -> Self:
        # Makes the session unusable after the block: nothing would commit later transactions.
        options = {"close_resets_only": False} if self._owns_session else {}
        user = f"The block of this {type(self).__name__}"
        session = session_from(self._source, kind, user, **options)
        sync_session = sync_session_of(session)
        with _lock:
            if self._session is not None:
                raise InvalidArgument(
                    f"This {type(self).__name__} is already entered: the inner block would end the "
                    "outer one. Create one for each block"
                )
            if sync_session.hash_key in _units_by_session:
                raise InvalidArgument(
                    "The session already has a unit of work: leaving an inner one would roll back "
                    "the outer one. Pass the outer one on, or use another session"
                )
            if has_pending(sync_session):
                raise InvalidArgument(
                    "The session has pending messages from before this unit of work: leaving it "
                    "could roll them back. Commit them first, or add them within the unit of work"
                )
            _units_by_session[sync_session.hash_key] = self
            self._session = session
        return self

    def _rolls_back(self, session: Session) -> bool:
        # Closing a session rolls back without expiring objects, unless the session has joined an
        # external transaction.
        return not self._owns_session or is_joined(session)

    def _leave(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            _units_by_session.pop(sync_session_of(session).hash_key, None)


# By SQLAlchemy's number of the session, because a subclass of Session may not be hashable. Weak,
# for units of work abandoned within their block.
_units_by_session: WeakValueDictionary[int, SessionBlock[Any, Any]] = WeakValueDictionary()
# Reentrant, for signal handlers.
_lock = RLock()


def _reset_lock() -> None:
    """Replace the lock after a fork: another thread of the parent may have held it."""
    global _lock
    _lock = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_lock)
