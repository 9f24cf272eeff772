"""Messages that are held back until just before COMMIT."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy import Connection, Transaction, event
from sqlalchemy.exc import MissingGreenlet
from sqlalchemy.orm import Session, SessionTransaction

from mdb_sqla.database.commit_guard import CommitWatch, current_transaction, refuse_commit
from mdb_sqla.database.execution import connection_of, is_autocommit
from mdb_sqla.errors import InvalidArgument, MessageStoreError
from mdb_sqla.outbox.pending_write import PendingWrite
from mdb_sqla.store.writes import write_all
from mdb_sqla.words.message import MessagePosition

__all__ = ["Outbox"]

_ATTRIBUTE = "_mdb_sqla_outbox"
_MOST_FLUSHES = 100  # as many as SQLAlchemy itself tries in a commit


class Outbox:
    """The messages that a session holds back, for as long as its transaction lasts.

    It is an attribute of the outermost transaction, which belongs to SQLAlchemy: `session.info` is
    the application's, to be emptied, copied and handed on. It goes with the transaction, also where
    a session is forgotten without being closed.
    """

    @classmethod
    def of(cls, session: Session) -> Outbox:
        """Return the outbox of the session's transaction."""
        transaction = session.get_transaction()
        assert transaction is not None  # noqa: S101 (begun before)
        outbox = cls.existing(transaction)
        if outbox is None:
            # It was begun before this module was imported, perhaps within an event of its commit,
            # so that no further one comes to our listeners.
            outbox = cls(session)
            setattr(transaction, _ATTRIBUTE, outbox)
            # Without a greenlet there is no event of an async session's.
            with suppress(MissingGreenlet):
                outbox.watch()
        return outbox

    @classmethod
    def existing(cls, transaction: SessionTransaction | None) -> Outbox | None:
        """Return the outbox of a transaction, or of that around a savepoint, if it has one."""
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
        # The transactions of connections that the session's rows are in.
        self._rows_in: list[tuple[Connection, Transaction]] = []
        # How long both lists were when each open savepoint was set. Savepoints end last in, first
        # out, so a rollback cuts the lists to that length.
        self._lengths: dict[SessionTransaction, tuple[int, int]] = {}
        transaction = session.get_nested_transaction()
        while transaction is not None:
            self.began(transaction)
            transaction = transaction.parent

    def add(self, pending: PendingWrite) -> None:
        """Hold a write back, or write it where the commit is under way.

        Raises:
            InvalidArgument: the transaction is committed already.
        """
        if self._committed:
            raise InvalidArgument(
                f"The transaction is committed already: messages to {pending.stream_name} must be "
                "handed in before that"
            )
        if not self._session.is_active:
            raise InvalidArgument(
                "The session's transaction is rolled back or prepared, or has to be rolled back: "
                f"messages to {pending.stream_name} must be handed in to the next one"
            )
        self.pending.append(pending)
        if self._writes_at_once:
            # Handed in by an event handler that runs after ours did: there is no later moment.
            try:
                self._write(self._session)
            except BaseException:
                self.pending.remove(pending)
                raise

    def before_commit(self) -> None:
        """Write what is held back, where the session itself commits."""
        session = self._session
        savepoint = session.get_nested_transaction()
        if savepoint is not None:
            # A savepoint is released, or an outer transaction is committed while it is open: that
            # brings this event twice, and none for the outer one, before its connection commits.
            if self.pending or savepoint is self._ending_savepoint:
                self.watch()
            self._ending_savepoint = savepoint
            return
        for _ in range(_MOST_FLUSHES):
            if not (session.new or session.dirty or session.deleted):
                break
            session.flush()
        self._write(session)
        self._writes_at_once = True

    def after_commit(self) -> None:
        """Give the positions of what was written to whoever has handed it in."""
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
        """Note a connection that the session works with from here on."""
        current = current_transaction(connection)
        if current is not None and not transaction.nested:
            self._rows_in.append((connection, current))

    def began(self, transaction: SessionTransaction) -> None:
        """Note what is held back when a savepoint is set."""
        if transaction.nested:
            self._lengths[transaction] = (len(self.pending), len(self._written))

    def ended(self, transaction: SessionTransaction) -> None:
        """Forget what was handed in since a savepoint, or all of it at the end."""
        if transaction.parent is None:
            self._unwatch()
            if self.pending and not self._committed:
                self._forget()
        elif transaction in self._lengths:
            pending, written = self._lengths.pop(transaction)
            del self.pending[pending:]
            del self._written[written:]

    def watch(self) -> None:
        """Write what is pending when the connection commits."""
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
                "The session's isolation level is AUTOCOMMIT: it has no transaction that its "
                "rows and messages could share"
            )
        positions = write_all(db, [pending.write for pending in self.pending])
        self._written.extend(zip(self.pending, positions, strict=True))
        self.pending.clear()

    def _write_late(self) -> None:
        """Write after the session's commit: a joined one leaves COMMIT to its connection."""
        connection = self._watch.connection if self._watch else None
        current = current_transaction(connection) if connection else None
        if connection is None or current is None:
            names = ", ".join(sorted({pending.stream_name for pending in self.pending}))
            raise MessageStoreError(
                f"The session was committed without its messages to {names}: they were handed in "
                "when it was too late to write them"
            )
        try:
            self._write(connection)
        except BaseException:
            current.rollback()
            raise

    def _forget(self) -> None:
        """See to it that what is left of a session that was closed has not lost its messages."""
        for connection, transaction in self._rows_in:
            if transaction.is_active:
                streams = [pending.stream_name for pending in self.pending]
                refuse_commit(connection, transaction, streams)


# On the class, and not on sessions that have been handed a message: the first may be handed in by a
# handler of the application's while the session commits, when it is too late to begin listening.


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
