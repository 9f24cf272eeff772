"""Reads messages as they are stored, for export and for people."""

from __future__ import annotations

from collections import deque
from typing import Any

from sqlalchemy import (
    ColumnElement,
    TableValuedAlias,
    Text,
    Uuid,
    case,
    cast,
    func,
    literal_column,
    select,
    type_coerce,
)

from mdb_sqla import functions, tables
from mdb_sqla.column_types import held_by_python, normalized, time_column
from mdb_sqla.database.execution import Database, execute, execute_raw
from mdb_sqla.errors import InvalidArgument, StoreRewound
from mdb_sqla.store.reads import settled_position, version
from mdb_sqla.transfer.json_lines import RawMessage
from mdb_sqla.transfer.read_marks import Mark, marks_up_to, stored
from mdb_sqla.words.stream_name import StreamName

__all__ = ["RawReader"]

_BATCH = 5_000  # messages
_MARKS = 100
_WHOLE: ColumnElement[Any] = literal_column("'{}'::text[]")


class RawReader:
    """Reads a stream, a category or all messages, in batches, and remembers where it is.

    Only what is settled is read, so that nothing is ever skipped. Where the store is rewound
    meanwhile, as by `mdb clear` or a failover, the next read says so.

    Args:
        name: the stream or category; None for all messages.
        position: where to begin: the position in a stream, else the global position; None for the
            first message.
        correlation: only messages whose `correlationStreamName` is of this category.

    Raises:
        InvalidStreamName: the name is none.
        InvalidArgument: the position is negative, or the correlation is a stream's name, or for a
            stream.
    """

    def __init__(
        self,
        name: str | None = None,
        position: int | None = None,
        correlation: str | None = None,
    ) -> None:
        self._name = None if name is None else StreamName(name)
        self._is_stream = self._name is not None and not self._name.is_category
        if self._is_stream and correlation is not None:
            raise InvalidArgument(
                f"A correlation is for a category or all messages, not for a stream: {name!r}"
            )
        if position is not None and position < 0:
            raise InvalidArgument(f"The position must not be negative: {position}")
        if correlation is not None and not StreamName(correlation).is_category:
            raise InvalidArgument(f"The correlation must be a category: {correlation!r}")
        self._correlation = None if correlation is None else StreamName(correlation)
        self.position = (0 if self._is_stream else 1) if position is None else position
        self._earlier: list[Mark] = []  # of what came before the first read
        self._recent: deque[Mark] = deque(maxlen=_MARKS)

    @property
    def category(self) -> str | None:
        """The category of what is read; None for all."""
        return None if self._name is None else self._name.category

    def end(self, db: Database) -> int:
        """Return the last position that can be read now; nothing new can appear up to there."""
        if self._name is not None and self._is_stream:
            return version(db, self._name)
        return settled_position(db, self._name)

    def next(
        self, db: Database, size: int = _BATCH, *, until: int | None = None
    ) -> list[RawMessage]:
        """Return the next messages, at most so many; none where there is nothing more now.

        Args:
            db: a session or connection.
            size: how many at most.
            until: the position of the last one that is read, where it is not to be any later one.

        Raises:
            StoreRewound: the message that was read last is not there any more.
            InvalidArgument: the store has not reached the position to begin at.
            ReadNotExact: the isolation level is not READ COMMITTED, or the server is a standby.
            StoreNotInstalled: there is no store in the database.
        """
        if not self._marks and self.position > self._first:
            self._earlier = marks_up_to(db, self.position - 1, self._stream)
        # Asked for before the read: what a filter rules out up to there is done.
        end = self.end(db)
        statement = select(*_columns(self._messages(size)))
        rows = normalized(execute_raw(db, statement, {}, tables.messages))
        # After the read, so that what it has read is known to come behind what was read before.
        self._check(db, end)
        found = [
            RawMessage._make((*values, odd if time is None else time))
            for *values, odd, time in rows
        ]
        is_full = len(found) == size
        if until is not None and found and self.position_of(found[-1]) > until:
            found, is_full = [each for each in found if self.position_of(each) <= until], False
        marks = [Mark(self.position_of(each), each.global_position, each.id) for each in found[-1:]]
        if not is_full:
            # No further than messages go: positions beyond them may be drawn again after a crash.
            last = end if until is None else min(end, until)
            marks += marks_up_to(db, last, self._stream)[-1:]
        if marks:
            self.resume(max(marks))
        return found

    def skip(self, db: Database) -> None:
        """Go past all that there is."""
        self._earlier = marks_up_to(db, self.end(db), self._stream)
        self.position = self._marks[-1].position + 1 if self._marks else self._first

    def resume(self, mark: Mark) -> None:
        """Go on after a message that was read, unless that is where it is anyway."""
        if not self._marks or mark > self._marks[-1]:
            self._recent.append(mark)
        self.position = max(self.position, mark.position + 1)

    def go_back(self, db: Database) -> None:
        """Go back to the newest message that is known and still there, else to the beginning."""
        self._earlier = stored(db, self._marks)
        self._recent.clear()
        self.position = self._marks[-1].position + 1 if self._marks else self._first

    @property
    def _stream(self) -> StreamName | None:
        """The stream that is read; None for a category or all messages."""
        return self._name if self._is_stream else None

    @property
    def _first(self) -> int:
        return 0 if self._is_stream else 1

    @property
    def _marks(self) -> list[Mark]:
        return [*self._earlier, *self._recent]

    def _check(self, db: Database, end: int) -> None:
        """See that the store has what was read before, or at least what it was to begin after."""
        if self._marks:
            last_read = self._marks[-1]
            if not stored(db, [last_read]):
                raise StoreRewound(last_read.global_position, last_read.id)
        if self.position > end + 1:
            last = end
            if not self._is_stream:
                drawn = select(functions.last_global_position())
                ((last,),) = execute(db, drawn, {}, tables.messages)
            if self.position > last + 1:
                raise InvalidArgument(
                    f"There is nothing at {self.counts_by} {self.position} yet, the last one is "
                    f"{last}: was the store cleared or restored since this position was noted?"
                )

    @property
    def counts_by(self) -> str:
        """Which position of a message it is that this reader counts by."""
        return "position" if self._is_stream else "global_position"

    def position_of(self, message: RawMessage) -> int:
        """Return the position that this reader counts by."""
        return message.position if self._is_stream else message.global_position

    def includes(self, stream_name: str) -> bool:
        """Whether a stream is among what is read."""
        if self._name is None:
            return True
        # Other clients store names that are no StreamName.
        return self._name == (stream_name if self._is_stream else stream_name.partition("-")[0])

    def _messages(self, size: int) -> TableValuedAlias:
        if self._is_stream:
            return functions.get_stream_messages(self._name, self.position, size)
        categories = None if self._name is None else [self._name]
        return functions.get_messages(categories, self.position, size, self._correlation)


def _columns(messages: TableValuedAlias) -> list[ColumnElement[Any]]:
    columns = messages.c
    return [
        # Drivers make a UUID faster than Python does.
        cast(type_coerce(columns.id, Text), Uuid),
        columns.stream_name,
        columns.type,
        columns.position,
        columns.global_position,
        type_coerce(columns.data, Text),
        type_coerce(columns.metadata, Text),
        # In JSON a time looks the same in each DateStyle.
        case(
            (
                ~held_by_python(columns.time),
                func.pg_catalog.to_jsonb(columns.time).op("#>>")(_WHOLE),
            )
        ),
        time_column(columns.time),
    ]
