"""The outbox of a session: messages that are pending until COMMIT."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy import Connection, Transaction, event
from sqlalchemy.exc import MissingGreenlet
from sqlalchemy.orm import Session, SessionTransaction

from mdb_sqla.database.commit_guard import CommitWatch, current_transaction, prevent_commit
from mdb_sqla.database.execution import connection_of, is_autocommit
from mdb_sqla.errors import InvalidArgument, MessageStoreError
from mdb_sqla.outbox.pending_write import PendingWrite
from mdb_sqla.store.writes import write_all
from mdb_sqla.words.message import MessagePosition

__all__ = ["Outbox"]

_ATTRIBUTE = "_mdb_sqla_outbox"
_MAX_FLUSHES = 100  # SQLAlchemy's own limit in a commit


class Outbox:
    """The pending messages of a session's transaction.

    Stored as an attribute of the session's outermost `SessionTransaction`, and so discarded with
    the transaction, even if the session is never closed. (`session.info` belongs to the
    application.)
    """

    @classmethod
    def of(cls, session: Session) -> Outbox:
        """Return the outbox of the session's transaction."""
        transaction = session.get_transaction()
        assert transaction is not None  # noqa: S101 (begun before)
        outbox = cls.existing(transaction)
        if outbox is None:
            # The transaction began before this module was imported. If the import happened in one
            # of its commit events, our listeners receive no further event.
            outbox = cls(session)
            setattr(transaction, _ATTRIBUTE, outbox)
            # An async session outside a greenlet is not in an event.
            with suppress(MissingGreenlet):
                outbox.watch()
        return outbox

    @classmethod
    def existing(cls, transaction: SessionTransaction | None) -> Outbox | None:
        """Return the outbox of the outermost transaction, if it has one."""
        while transaction is not None and transaction.parent is not None:
            transaction = transaction.parent
        outbox: Outbox | None = getattr(transaction, _ATTRIBUTE, None)
        return outbox

    def __init__(self, session: Session) -> None:
        self._session = session
        self.pending: list[PendingWrite] = []
        self._written: list[tuple[PendingWrite, list[MessagePosition]]] = []
        self._writes_at_once = False
        self._committed = False
        self._ending_savepoint: SessionTransaction | None = None
        self._watch: CommitWatch | None = None
        # The transactions of the connections that the session has used.
        self._rows_in: list[tuple[Connection, Transaction]] = []
        # The lengths of both lists when each open savepoint was created; a rollback truncates them
        # to these lengths. Savepoints end in LIFO order.
        self._lengths: dict[SessionTransaction, tuple[int, int]] = {}
        transaction = session.get_nested_transaction()
        while transaction is not None:
            self.began(transaction)
            transaction = transaction.parent

    def add(self, pending: PendingWrite) -> None:
        """Add a pending write. During a commit, it is written immediately.

        Raises:
            InvalidArgument: the transaction is already committed, or can't be committed anymore.
        """
        if self._committed:
            raise InvalidArgument(
                f"Can't add messages to {pending.stream_name}: the transaction is already "
                "committed. Add them before the commit"
            )
        if not self._session.is_active:
            raise InvalidArgument(
                f"Can't add messages to {pending.stream_name}: the session's transaction was "
                "rolled back, was prepared, or must be rolled back. Add them in a new transaction"
            )
        self.pending.append(pending)
        if self._writes_at_once:
            # Added by an event handler that runs after ours: no later event follows.
            try:
                self._write(self._session)
            except BaseException:
                self.pending.remove(pending)
                raise

    def holds(self, pending: PendingWrite) -> bool:
        """Whether a write of this transaction was not discarded by a rollback to a savepoint."""
        return any(each is pending for each in reversed(self.pending)) or any(
            each is pending for each, _ in self._written
        )

    def before_commit(self) -> None:
        """Write the pending messages if the session itself commits."""
        session = self._session
        savepoint = session.get_nested_transaction()
        if savepoint is not None:
            # Either the savepoint is being released, or the outer transaction is being committed
            # while the savepoint is open. In the latter case this event fires twice, and not for
            # the outer transaction.
            if self.pending or savepoint is self._ending_savepoint:
                self.watch()
            self._ending_savepoint = savepoint
            return
        for _ in range(_MAX_FLUSHES):
            if not (session.new or session.dirty or session.deleted):
                break
            session.flush()
        self._write(session)
        self._writes_at_once = True

    def after_commit(self) -> None:
        """Set the positions of the written messages."""
        savepoint = self._session.get_nested_transaction()
        if savepoint is not None:
            self._lengths.pop(savepoint, None)
            return
        if self.pending:
            self._write_late()
        self._committed = True
        for pending, positions in self._written:
            pending._positions = positions

    def after_begin(self, transaction: SessionTransaction, connection: Connection) -> None:
        """Register a connection that the session has started to use."""
        current = current_transaction(connection)
        if current is not None and not transaction.nested:
            self._rows_in.append((connection, current))

    def began(self, transaction: SessionTransaction) -> None:
        """Record the state when a savepoint is created."""
        if transaction.nested:
            self._lengths[transaction] = (len(self.pending), len(self._written))

    def ended(self, transaction: SessionTransaction) -> None:
        """Discard the writes added since a savepoint, or all writes at the end."""
        if transaction.parent is None:
            self._unwatch()
            if self.pending and not self._committed:
                self._prevent_commits()
        elif transaction in self._lengths:
            pending, written = self._lengths.pop(transaction)
            del self.pending[pending:]
            del self._written[written:]

    def watch(self) -> None:
        """Write pending messages when the connection commits."""
        if self._watch is None:
            self._watch = CommitWatch(connection_of(self._session), self._write)

    def _unwatch(self) -> None:
        if self._watch is not None:
            self._watch.end()
            self._watch = None

    def _write(self, db: Session | Connection) -> None:
        if not self.pending:
            return
        if is_autocommit(connection_of(db)):
            raise InvalidArgument(
                "The session's isolation level is AUTOCOMMIT: write_on_commit requires a "
                "transaction for rows and messages"
            )
        positions = write_all(db, [pending.write for pending in self.pending])
        self._written.extend(zip(self.pending, positions, strict=True))
        self.pending.clear()

    def _write_late(self) -> None:
        """Write after the commit of a joined session, whose connection commits later."""
        connection = self._watch.connection if self._watch else None
        current = current_transaction(connection) if connection else None
        if connection is None or current is None:
            names = ", ".join(sorted({pending.stream_name for pending in self.pending}))
            raise MessageStoreError(
                f"The session was committed without its messages to {names}: they were added too "
                "late in the commit"
            )
        try:
            self._write(connection)
        except BaseException:
            current.rollback()
            raise

    def _prevent_commits(self) -> None:
        """Prevent external transactions from committing the session's rows without its messages."""
        for connection, transaction in self._rows_in:
            if transaction.is_active:
                streams = [pending.stream_name for pending in self.pending]
                prevent_commit(connection, transaction, streams)


# Registered for all sessions: an event handler may add the first message during a commit, when it
# is too late to register a listener.


@event.listens_for(Session, "before_commit")
def _before_commit(session: Session) -> None:
    Outbox.of(session).before_commit()


@event.listens_for(Session, "after_commit")
def _after_commit(session: Session) -> None:
    if outbox := Outbox.existing(session.get_transaction()):
        outbox.after_commit()


@event.listens_for(Session, "after_begin")
def _after_begin(
    _session: Session, transaction: SessionTransaction, connection: Connection
) -> None:
    if outbox := Outbox.existing(transaction):
        outbox.after_begin(transaction, connection)


@event.listens_for(Session, "after_transaction_create")
def _after_transaction_create(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        setattr(transaction, _ATTRIBUTE, Outbox(session))
    elif outbox := Outbox.existing(transaction):
        outbox.began(transaction)


@event.listens_for(Session, "after_transaction_end")
def _after_transaction_end(_session: Session, transaction: SessionTransaction) -> None:
    if outbox := Outbox.existing(transaction):
        outbox.ended(transaction)
