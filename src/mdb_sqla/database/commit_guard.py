"""Hooks that run before a connection commits, where session events come too late."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from weakref import ref

from sqlalchemy import Connection, NestedTransaction, Transaction, event

from mdb_sqla.errors import InvalidArgument

__all__ = ["CommitWatch", "current_transaction", "prevent_commit"]


class CommitWatch:
    """Calls a function before a connection commits or prepares a two-phase commit.

    Args:
        connection: the connection.
        work: the function. If it raises, nothing is committed.
    """

    def __init__(self, connection: Connection, work: Callable[[Connection], object]) -> None:
        self.connection = connection
        self._work = work
        event.listen(connection, "commit", self._on_commit)
        event.listen(connection, "prepare_twophase", self._on_prepare)

    def end(self) -> None:
        """Remove the hooks."""
        event.remove(self.connection, "commit", self._on_commit)
        event.remove(self.connection, "prepare_twophase", self._on_prepare)

    def _on_commit(self, connection: Connection) -> None:
        try:
            self._work(connection)
        except BaseException:
            # SQLAlchemy considers the transaction to have ended even if this event raises.
            connection.connection.rollback()
            raise

    def _on_prepare(self, connection: Connection, _xid: object) -> None:
        self._work(connection)


def current_transaction(connection: Connection) -> Transaction | None:
    """Return the innermost transaction of a connection: a savepoint, or the transaction itself."""
    return connection.get_nested_transaction() or connection.get_transaction()


def prevent_commit(
    connection: Connection, row_transaction: Transaction, streams: Iterable[str]
) -> None:
    """Prevent a connection from committing rows without their messages. It can still roll back.

    Args:
        connection: the connection.
        row_transaction: the transaction that contains the rows, or the savepoint in it.
        streams: the stream names of the messages.
    """
    names = ", ".join(sorted(set(streams)))
    # A weak reference: the transaction has ended once its object is garbage-collected.
    reference = ref(row_transaction)

    def prevent(_connection: Connection) -> None:
        transaction = reference()
        if transaction is not None and transaction.is_active:
            raise InvalidArgument(
                "A session that joined this transaction was closed with pending messages to "
                f"{names}: its rows would be committed without them. Commit the session before "
                "closing it, or roll back"
            )

    def release(connection: Connection, _name: str, _context: object) -> None:
        transaction = reference()
        if transaction is not None and current_transaction(connection) is transaction:
            try:
                prevent(connection)
            except InvalidArgument:
                transaction.rollback()
                raise

    # Never removed: listeners can't be removed during an event.
    CommitWatch(connection, prevent)
    if isinstance(row_transaction, NestedTransaction):
        event.listen(connection, "release_savepoint", release)
