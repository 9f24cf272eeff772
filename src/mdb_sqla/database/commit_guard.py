"""Looks at the commits of a connection, where no event of its session's comes in time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from weakref import ref

from sqlalchemy import Connection, NestedTransaction, Transaction, event

from mdb_sqla.errors import InvalidArgument

__all__ = ["CommitWatch", "current_transaction", "refuse_commit"]


class CommitWatch:
    """Has something done before a connection commits, or prepares to, until it is ended.

    Args:
        connection: which one.
        work: what is done. If it fails, nothing is committed.
    """

    def __init__(self, connection: Connection, work: Callable[[Connection], object]) -> None:
        self.connection = connection
        self._work = work
        event.listen(connection, "commit", self._commits)
        event.listen(connection, "prepare_twophase", self._prepares)

    def end(self) -> None:
        """Look no longer."""
        event.remove(self.connection, "commit", self._commits)
        event.remove(self.connection, "prepare_twophase", self._prepares)

    def _commits(self, connection: Connection) -> None:
        try:
            self._work(connection)
        except BaseException:
            # SQLAlchemy takes the transaction for ended, whatever happens in this event.
            connection.connection.rollback()
            raise

    def _prepares(self, connection: Connection, _xid: object) -> None:
        self._work(connection)


def current_transaction(connection: Connection) -> Transaction | None:
    """Return the innermost transaction of a connection: a savepoint, or the transaction itself."""
    return connection.get_nested_transaction() or connection.get_transaction()


def refuse_commit(connection: Connection, rows_in: Transaction, streams: Iterable[str]) -> None:
    """Let a connection not commit rows without their messages; a rollback forgets both.

    Args:
        connection: whose transaction goes on with the rows.
        rows_in: that transaction, or the savepoint in it.
        streams: the names of the messages' streams.
    """
    names = ", ".join(sorted(set(streams)))
    # That it ends is told by its object being let go of.
    known = ref(rows_in)

    def refuse(_connection: Connection) -> None:
        transaction = known()
        if transaction is not None and transaction.is_active:
            raise InvalidArgument(
                f"A session that is joined to this transaction was closed with messages to {names} "
                "held back: its rows would be committed without them. Commit the session before it "
                "is closed, or roll it back"
            )

    def release(connection: Connection, _name: str, _context: object) -> None:
        transaction = known()
        if transaction is not None and current_transaction(connection) is transaction:
            try:
                refuse(connection)
            except InvalidArgument:
                transaction.rollback()
                raise

    # They stay with the connection: an event that is under way has to leave its listeners alone.
    CommitWatch(connection, refuse)
    if isinstance(rows_in, NestedTransaction):
        event.listen(connection, "release_savepoint", release)
