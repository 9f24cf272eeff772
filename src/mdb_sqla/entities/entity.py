from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import ref

from sqlalchemy import JSON, Connection
from sqlalchemy.orm import Session

from mdb_sqla.entities.event_rows import Anchor
from mdb_sqla.entities.state import State
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.outbox.pending_write import PendingWrite
from mdb_sqla.outbox.session_outbox import Outbox
from mdb_sqla.outbox.write_on_commit import expect_on_commit, write_on_commit
from mdb_sqla.words.message import Message, StoredMessage
from mdb_sqla.words.query import AppendCondition
from mdb_sqla.words.stream_name import StreamName
from mdb_sqla.words.tags import checked_tags

if TYPE_CHECKING:
    from mdb_sqla.entities.behavior import Behavior

__all__ = ["Entity"]

_S = TypeVar("_S")

_UNKNOWN = -1
"""The global position of a message that is not written yet."""


class Entity(Generic[_S]):
    """An entity in the transaction in which it was read. `EntityStore.get` returns it.

    Attributes:
        stream_name: its stream.
    """

    def __init__(
        self,
        behavior: Behavior[_S],
        db: Session | Connection | None,
        name: StreamName,
        read: State[_S],
    ) -> None:
        self.stream_name = name
        self._behavior = behavior
        self._db = db
        transaction = None if db is None else db.get_transaction()
        # A weak reference: the transaction refers to its entities, and must not exist longer than
        # the session uses it. Its end wakes up consumers.
        self._transaction = None if transaction is None else ref(transaction)
        self._read = read
        # What was written in this transaction, including what a rollback to a savepoint discards.
        self._writes: list[tuple[PendingWrite, list[Message]]] = []
        self._has_failed = False

    def __repr__(self) -> str:
        state, version, *_ = self._read
        return f"<Entity {self.stream_name}, version {version}: {state!r}>"

    @property
    def id(self) -> str:
        """The id: the stream name without the category."""
        return self.stream_name.id or ""

    @property
    def state(self) -> _S:
        """The state after all events, including those that are pending until commit.

        Raises:
            InvalidArgument: the entity's events were rolled back, or a write has failed.
        """
        self._check()
        return self._read.value

    @property
    def version(self) -> int:
        """The position of the last event, including those that are pending until commit.

        `NO_STREAM` (-1) if there is none.

        Raises:
            InvalidArgument: the entity's events were rolled back, or a write has failed.
        """
        self._check()
        return self._read.version

    def write(
        self,
        *events: Any,
        follow: StoredMessage | None = None,
        tags: Iterable[str] | None = None,
        unless: AppendCondition | Iterable[AppendCondition] | None = None,
    ) -> PendingWrite:
        """Apply events to the state, and add them to the outbox of the session.

        They are written when the session commits, which raises `WrongExpectedVersion` if the stream
        has changed since it was read.

        Args:
            events: instances of message types; or messages, for an id or metadata.
            follow: the message that caused the events. See `Message.follow`.
            tags: tags of all events, in addition to those in their metadata.
            unless: append conditions, such as `query.after(result)`. See `write_on_commit`.

        Returns:
            The pending write, whose positions are available after the commit.

        Raises:
            InvalidArgument: there is no event, or one is not an instance of a message type; the
                entity was read over a connection, or in a transaction that has ended; or the state
                can't be recorded as a snapshot.
            InvalidMessage: an event is not valid.
            FoldFailed: an event can't be applied to the state. The entity can't be used any more.
        """
        self._session()
        if not events:
            raise InvalidArgument(f"No events to write to {self.stream_name}: pass at least one")
        messages = [self._behavior.message(event, follow) for event in events]
        if tags is not None:
            checked = checked_tags(tags)
            messages = [message.with_tags(*checked) for message in messages]
        try:
            return self._write(messages, unless)
        except BaseException:
            # Methods change the state: it may have some of the events.
            self._has_failed = True
            raise

    def execute(
        self,
        command: Any,
        *,
        follow: StoredMessage | None = None,
        tags: Iterable[str] | None = None,
        unless: AppendCondition | Iterable[AppendCondition] | None = None,
    ) -> list[Any]:
        """Decide what happens because of a command, and write the events.

        Args:
            command: the command, which is passed to `decide` with the state.
            follow: the message that caused the events, such as that of the command.
            tags: see `write`.
            unless: see `write`; without events, conditions are not checked.

        Returns:
            The events. None are written if there are none.

        Raises:
            InvalidArgument: the `EntityStore` has no `decide`. See `write` for other errors.
        """
        self._session()
        events = self._behavior.decide(command, self.state)
        if events:
            self.write(*events, follow=follow, tags=tags, unless=unless)
        return events

    def expect(self) -> None:
        """Make the commit fail if the stream changes, even if nothing is written to it.

        For a decision about another entity that depends on the state of this one.

        Raises:
            InvalidArgument: the entity was read over a connection, or in a transaction that has
                ended.
        """
        session = self._session()
        if not self._writes:
            expect_on_commit(session, self.stream_name, self._read.version)

    @property
    def _is_usable(self) -> bool:
        if self._has_failed or not self._writes:
            return not self._has_failed
        last, _ = self._writes[-1]
        # A rollback to a savepoint discards the last writes first.
        return last.is_committed or (self._is_current and self._is_pending(last))

    def _is_pending(self, pending: PendingWrite) -> bool:
        session: Any = self._db  # only entities of sessions are written
        outbox = Outbox.existing(session.get_transaction())
        return outbox is not None and outbox.holds(pending)

    @property
    def _is_current(self) -> bool:
        current = None if self._db is None else self._db.get_transaction()
        read_in = None if self._transaction is None else self._transaction()
        return current is not None and current is read_in

    def _check(self) -> None:
        if not self._is_usable:
            what = "A write to it has failed" if self._has_failed else "Its events were rolled back"
            raise InvalidArgument(
                f"Entity {self.stream_name} is not valid any more: {what}. Read it again"
            )

    def _session(self) -> Session:
        if not isinstance(self._db, Session):
            raise InvalidArgument(
                f"Entity {self.stream_name} was read over a Connection, which has no outbox: use a "
                "session or a unit of work to write events"
            )
        self._check()
        if not self._is_current:
            raise InvalidArgument(
                f"Entity {self.stream_name} was read in a transaction that has ended: read it "
                "again, because its stream may have changed"
            )
        return self._db

    def _resume(self, other: Entity[_S]) -> None:
        """Apply what another `Entity` of the same transaction has written and is still pending."""
        for pending, messages in other._writes:
            if self._is_pending(pending):
                self._read = self._after(messages)
                self._writes.append((pending, messages))

    def _write(
        self,
        messages: list[Message],
        unless: AppendCondition | Iterable[AppendCondition] | None,
    ) -> PendingWrite:
        new = self._after(messages)
        snapshot = self._behavior.snapshot(self.stream_name, new)
        pending = self._pend(messages, unless, snapshot)
        self._read = new if snapshot is None else new._replace(recorded=new.version)
        self._writes.append((pending, messages))
        return pending

    def _after(self, messages: list[Message]) -> State[_S]:
        """Return the state after messages."""
        state, version, anchor, recorded, _ = self._read
        now = datetime.now(UTC)
        for message in messages:
            version += 1
            written = StoredMessage(
                message.id,
                self.stream_name,
                message.type,
                version,
                _UNKNOWN,
                # As it is read.
                {} if message.data in (None, JSON.NULL) else message.data,
                message.metadata or {},  # type: ignore[arg-type]  # any mapping
                now,
            )
            state = self._behavior.fold.message(state, written)
            if anchor is None or message.data or message.metadata:
                anchor = Anchor(version, str(message.id))
        return State(state, version, anchor, recorded)

    def _pend(
        self,
        messages: list[Message],
        unless: AppendCondition | Iterable[AppendCondition] | None,
        snapshot: tuple[StreamName, Message] | None,
    ) -> PendingWrite:
        """Add messages, and possibly a snapshot after them, to the outbox of the session."""
        session, encrypt = self._session(), self._behavior.encryption.encrypt
        pending = write_on_commit(
            session,
            self.stream_name,
            [encrypt(message) for message in messages],
            expected_version=self._read.version,
            unless=unless,
            types=self._behavior.fold.types,
        )
        if snapshot is not None:
            write_on_commit(session, *snapshot)
        return pending
