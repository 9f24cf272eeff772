"""Observers of the writes over an engine, for what has to happen in the same transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

from sqlalchemy import Dialect

from mdb_sqla.database.execution import Database, dialect_of
from mdb_sqla.words.message import MessagePosition

if TYPE_CHECKING:
    from mdb_sqla.store.write_arguments import Write

__all__ = ["WriteObserver", "observe_writes", "observers_of"]


class WriteObserver(Protocol):
    """Is called before and after messages are written, in the transaction that writes them."""

    def begin(self, db: Database, writes: Sequence[Write]) -> Any:
        """Return what `end` needs to know; called before a stream is locked."""

    def end(self, db: Database, begun: Any, positions: Sequence[Sequence[MessagePosition]]) -> None:
        """Complete the write. If it raises, the transaction has to be rolled back."""


# By the dialect: an engine shares it with its copies that have other execution options, and keeps
# it when its pool is replaced by `dispose`.
_observers: WeakKeyDictionary[Dialect, tuple[WriteObserver, ...]] = WeakKeyDictionary()


def observe_writes(dialect: Dialect, observers: Sequence[WriteObserver]) -> None:
    """Set the observers of all writes over an engine with this dialect."""
    _observers[dialect] = tuple(observers)


def observers_of(db: Database | Dialect) -> tuple[WriteObserver, ...]:
    """Return the observers of writes over a session, a connection, or an engine's dialect."""
    if not _observers:
        return ()
    return _observers.get(db if isinstance(db, Dialect) else dialect_of(db), ())
