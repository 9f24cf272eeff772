"""The `with` block of a unit of work, which has exclusive use of a session."""

from __future__ import annotations

import os
from collections.abc import Iterable
from threading import RLock
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar
from weakref import WeakValueDictionary

from sqlalchemy.orm import Session

from mdb_sqla.database.sessions import is_joined, session_from, sync_session_of
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.message_types import MessageTypes
from mdb_sqla.outbox.pending_write import PendingWrite
from mdb_sqla.outbox.write_on_commit import expect_on_commit, has_pending, write_on_commit
from mdb_sqla.store.async_message_store import AsyncMessageStore
from mdb_sqla.store.message_store import MessageStore
from mdb_sqla.words.message import Message
from mdb_sqla.words.query import AppendCondition

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

__all__ = ["SessionBlock"]

_S = TypeVar("_S", bound="Session | AsyncSession")
_Store = TypeVar("_Store", MessageStore, AsyncMessageStore)


class SessionBlock(Generic[_S, _Store]):
    """Base class of the sync and the async unit of work."""

    _source: Any
    _owns_session: bool
    _store: type[_Store]
    _session: _S | None = None
    _types: MessageTypes | None = None

    @property
    def session(self) -> _S:
        """The session, available within the `with` block.

        Raises:
            InvalidArgument: used outside the block.
        """
        if self._session is None:
            raise InvalidArgument(
                f"This {type(self).__name__} is used outside its `with` block, where nothing would "
                "be committed"
            )
        return self._session

    @property
    def store(self) -> _Store:
        """A message store over the session."""
        return self._store(self.session, types=self._types)  # type: ignore[arg-type]  # each has its own kind

    def write(
        self,
        stream_name: str,
        messages: Message | Iterable[Message] | Any,
        *,
        expected_version: int | None = None,
        tags: Iterable[str] | None = None,
        unless: AppendCondition | Iterable[AppendCondition] | None = None,
    ) -> PendingWrite:
        """Add messages for `commit` to write. See `write_on_commit`."""
        return write_on_commit(
            self.session,
            stream_name,
            messages,
            expected_version=expected_version,
            tags=tags,
            unless=unless,
            types=self._types,
        )

    def expect(self, stream_name: str, version: int) -> None:
        """Make `commit` fail unless a stream is at this version. See `expect_on_commit`."""
        expect_on_commit(self.session, stream_name, version)

    def _enter(self, kind: type[_S]) -> Self:
        # Makes the session unusable after the block, where nothing would commit its transactions.
        options = {"close_resets_only": False} if self._owns_session else {}
        session = session_from(self._source, kind, f"This {type(self).__name__}", **options)
        sync_session = sync_session_of(session)
        with _lock:
            if self._session is not None:
                raise InvalidArgument(
                    f"This {type(self).__name__} is already entered: the inner block would end the "
                    "outer one. Create a new one for each block"
                )
            if sync_session.hash_key in _units_by_session:
                raise InvalidArgument(
                    "The session already has a unit of work: leaving an inner one would roll back "
                    "the outer one. Pass on the outer one, or use another session"
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
        # Closing a session rolls back without expiring its objects, unless the session has joined
        # an external transaction.
        return not self._owns_session or is_joined(session)

    def _leave(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            _units_by_session.pop(sync_session_of(session).hash_key, None)


# Keyed by SQLAlchemy's session number, because a subclass of Session may not be hashable. The
# values are weak because a unit of work may be abandoned within its block.
_units_by_session: WeakValueDictionary[int, SessionBlock[Any, Any]] = WeakValueDictionary()
# Reentrant, because signal handlers may enter a unit of work.
_lock = RLock()


def _reset_lock() -> None:
    """Replace the lock after a fork: another thread of the parent may have been holding it."""
    global _lock
    _lock = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_lock)
