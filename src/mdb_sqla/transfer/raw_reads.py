"""Reads of raw messages, for export and display."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import TableValuedAlias, select

from mdb_sqla import functions, tables
from mdb_sqla.database.citus import Unoffered, is_on_citus, refuse_on_citus
from mdb_sqla.database.execution import Database, execute, execute_raw
from mdb_sqla.errors import InvalidArgument, StoreRewound
from mdb_sqla.store.raw_columns import raw_columns, raw_messages
from mdb_sqla.store.read_statements import settled_position, version
from mdb_sqla.transfer.deletion_watch import DeletedMessages, DeletionWatch
from mdb_sqla.transfer.rewind_detection import Mark, marks_up_to, stored
from mdb_sqla.words.argument_checks import described
from mdb_sqla.words.raw_message import RawMessage
from mdb_sqla.words.stream_name import StreamName

__all__ = ["RawReader"]

_BATCH = 5_000  # messages
_MARKS = 100


class RawReader:
    """Reads a stream, a category or all messages in batches, and keeps track of its position.

    It reads only up to positions that are final, so no message is skipped. If the store is rewound,
    for example by `mdb clear` or a failover, the next read raises `StoreRewound`.

    Args:
        name: the stream or category; None for all messages.
        position: the position in the stream, or the global position, to start at; None for the
            first message.
        correlation: only messages whose `correlationStreamName` is in this category.
        on_deleted: called if messages were deleted, by a policy or an erasure, after the reader had
            read earlier ones. What it returns then has gaps.

    Raises:
        InvalidStreamName: the name is invalid.
        InvalidArgument: the position is negative, the correlation is not a category, or a
            correlation is given for a stream.
    """

    def __init__(
        self,
        name: str | None = None,
        position: int | None = None,
        correlation: str | None = None,
        *,
        on_deleted: Callable[[DeletedMessages], object] | None = None,
    ) -> None:
        self._name = None if name is None else StreamName(name)
        self._is_stream = self._name is not None and not self._name.is_category
        if self._is_stream and correlation is not None:
            raise InvalidArgument(
                f"correlation must be omitted for stream {name!r}: it applies only to a category "
                "or all messages"
            )
        if position is not None and position < 0:
            raise InvalidArgument(f"position must be at least 0, got {described(position)}")
        if correlation is not None and not StreamName(correlation).is_category:
            raise InvalidArgument(f"correlation must be a category, got {described(correlation)}")
        self._correlation = None if correlation is None else StreamName(correlation)
        self.position = (0 if self._is_stream else 1) if position is None else position
        self._earlier: list[Mark] = []  # before the first read
        self._recent: deque[Mark] = deque(maxlen=_MARKS)
        self._on_deleted = on_deleted
        self._watch: DeletionWatch | None = None

    @property
    def category(self) -> str | None:
        """The category to read, or that of the stream; None for all messages."""
        return None if self._name is None else self._name.category

    def end(self, db: Database) -> int:
        """Return the last final position, up to which no message can still appear.

        Raises:
            NotOffered: the store is distributed with Citus, and the reader reads all messages.
        """
        self._check_offered(db)
        if self._name is not None and self._is_stream:
            return version(db, self._name)
        return settled_position(db, self._name)

    def next(
        self, db: Database, size: int = _BATCH, *, until: int | None = None
    ) -> list[RawMessage]:
        """Return the next batch of messages, which is empty if there are none at the moment.

        Args:
            db: a session or connection.
            size: the maximum number of messages.
            until: the last position to read; None for no limit.

        Raises:
            NotOffered: the store is distributed with Citus, and the reader reads all messages.
            StoreRewound: the last message read no longer exists.
            InvalidArgument: the start position is beyond the end of the store.
            ReadNotExact: the isolation level is not READ COMMITTED, or the server is a standby.
            StoreNotInstalled: the database has no store.
        """
        self._check_offered(db)
        if not self._marks and self.position > self._first:
            self._earlier = marks_up_to(db, self.position - 1, self._name)
        begin = self.position
        self._begin_watch(db)
        # Determined before the read: messages up to here that it does not return are filtered out.
        end = self.end(db)
        statement = select(*raw_columns(self._messages(size).c))
        found = raw_messages(execute_raw(db, statement, {}, tables.messages))
        # Checked after the read: then its messages are known to follow those read before.
        self._check(db, end)
        is_full = len(found) == size
        if until is not None and found and self.position_of(found[-1]) > until:
            found, is_full = [each for each in found if self.position_of(each) <= until], False
        marks = [self._mark(each) for each in found[-1:]]
        if not is_full:
            # Not beyond the last message: after a crash, later positions can be assigned again.
            last = end if until is None else min(end, until)
            marks += marks_up_to(db, last, self._name)[-1:]
        if marks:
            self.resume(max(marks))
        self._report_deleted(db, begin, found)
        return found

    def skip(self, db: Database) -> None:
        """Move to the end, skipping all existing messages."""
        self._earlier = marks_up_to(db, self.end(db), self._name)
        self.position = self._marks[-1].position + 1 if self._marks else self._first

    def resume(self, mark: Mark) -> None:
        """Continue after a message, unless the reader is already past it."""
        if not self._marks or mark > self._marks[-1]:
            self._recent.append(mark)
        self.position = max(self.position, mark.position + 1)

    @contextmanager
    def restored_on_error(self) -> Iterator[None]:
        """Restore the position of the reader if the block raises."""
        before = self.position, self._earlier, self._recent.copy()
        try:
            yield
        except BaseException:
            self.position, self._earlier, self._recent = before
            raise

    def go_back(self, db: Database) -> None:
        """Move back to the newest known message that still exists, or else to the beginning."""
        self._earlier = stored(db, self._marks)
        self._recent.clear()
        self.position = self._marks[-1].position + 1 if self._marks else self._first

    def _begin_watch(self, db: Database) -> None:
        if self._on_deleted is not None and not self._is_stream and self._watch is None:
            self._watch = DeletionWatch([] if self._name is None else [self._name])
            self._watch.begin(db, self.position - 1, continues=bool(self._marks))

    def _report_deleted(self, db: Database, begin: int, found: list[RawMessage]) -> None:
        """Report messages that were deleted since the last read, which began at a position."""
        if self._on_deleted is None:
            return
        if self._watch is not None:
            for deleted in self._watch.check(db, self.position - 1):
                self._on_deleted(deleted)
        elif found and found[0].position > begin > self._first:
            self._on_deleted(DeletedMessages(str(self._name), begin - 1, found[0].position - 1))

    @property
    def _first(self) -> int:
        return 0 if self._is_stream else 1

    @property
    def _marks(self) -> list[Mark]:
        return [*self._earlier, *self._recent]

    def _check_offered(self, db: Database) -> None:
        if self._name is None:
            refuse_on_citus(db, Unoffered.READS_OF_ALL)

    def _check(self, db: Database, end: int) -> None:
        """Check that the last message read still exists, and that the position is in the store."""
        if self._marks:
            last_read = self._marks[-1]
            if not stored(db, [last_read]):
                raise StoreRewound(last_read.global_position, last_read.id)
        if self.position > end + 1:
            last = end
            if not self._is_stream and not is_on_citus(db):
                drawn = select(functions.last_global_position())
                ((last,),) = execute(db, drawn, {}, tables.messages)
            if self.position > last + 1:
                raise InvalidArgument(
                    f"{self.counts_by} {self.position} is beyond the end of the store, {last}: "
                    "the store may have been cleared or restored; start at a lower position"
                )

    @property
    def counts_by(self) -> str:
        """The name of the position that the reader counts by: `position` or `global_position`."""
        return "position" if self._is_stream else "global_position"

    def position_of(self, message: RawMessage) -> int:
        """Return the position of a message that the reader counts by."""
        return message.position if self._is_stream else message.global_position

    def _mark(self, message: RawMessage) -> Mark:
        category = message.stream_name.partition("-")[0]
        return Mark(self.position_of(message), message.global_position, message.id, category)

    def includes(self, stream_name: str) -> bool:
        """Return whether the reader reads the messages of a stream."""
        if self._name is None:
            return True
        # Other clients may store names that StreamName rejects.
        return self._name == (stream_name if self._is_stream else stream_name.partition("-")[0])

    def _messages(self, size: int) -> TableValuedAlias:
        if self._is_stream:
            return functions.get_stream_messages(self._name, self.position, size)
        categories = None if self._name is None else [self._name]
        return functions.get_messages(categories, self.position, size, self._correlation)
