"""Imports messages that were exported: as they were, or behind those that are there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from mdb_sqla.database.execution import check_isolation
from mdb_sqla.errors import InvalidArgument, InvalidLine, StoreBusy, StoreRewound
from mdb_sqla.transfer.history_insert import Entry, Inserting
from mdb_sqla.transfer.json_lines import parse
from mdb_sqla.transfer.line_format import EXPORTED
from mdb_sqla.wake_up.notifier import announce

__all__ = ["Imported", "import_lines"]

_MOST = 5_000  # messages in a transaction
_LONGEST = 16 * 1024 * 1024  # bytes in a transaction, of more than one message


@dataclass
class Imported:
    """How far an import is.

    Attributes:
        written: how many messages were written.
        stored: how many were stored already.
        is_exact: whether global positions are kept; None before the first message that is written.
    """

    written: int = 0
    stored: int = 0
    is_exact: bool | None = None


def import_lines(
    connection: Connection,
    lines: Iterable[bytes],
    progress: Callable[[Imported], object] | None = None,
    *,
    new_positions: bool = False,
) -> Imported:
    """Write messages that were exported, in transactions of some thousand; holds one at a time.

    Ids and times are kept, and so is the order; the position in a stream follows its version. In a
    store that has nothing but what an earlier run has written of the same lines, global positions
    are kept, so that those of consumers stay right, and the sequence is set to the last of them.
    In any other, messages get new ones. A message that is stored already is not written again, so
    that an import that ended early goes on when it is run again, and another run writes nothing.

    Args:
        connection: not in a transaction; to keep global positions, that of the store's owner.
        lines: see `RawMessage.line`, by ascending global position.
        progress: is told after each transaction.
        new_positions: whether the rest may get new global positions where an earlier run has kept
            those of the first messages, and others have written since.

    Raises:
        InvalidLine: a line is no such message. What comes before it in its transaction is not
            written, what was written in earlier ones stays.
        DuplicateMessageId: another message has the same id.
        StoreBusy: others write, so that global positions can't be kept, or have drawn them already;
            or the first messages have kept theirs, and the rest can't.
        StoreRewound: what this run has written is not there any more; run it again.
        InvalidArgument: the connection is in a transaction, or its isolation level is not READ
            COMMITTED.
    """
    if connection.in_transaction():
        raise InvalidArgument("An import needs a connection that is not in a transaction")
    done = Imported()
    run = _Run(connection, done, new_positions)
    for chunk in _chunks(lines):
        with connection.begin():
            check_isolation(connection, "An import")
            run.write(chunk)
        if progress is not None:
            progress(done)
    return done


class _Run:
    def __init__(self, connection: Connection, done: Imported, new_positions: bool) -> None:
        self._connection = connection
        self._inserting = Inserting(connection)
        self._done = done
        self._new_positions = new_positions
        self._last = 0  # global position, of what was found or written exactly
        self._mark: tuple[int, str] | None = None  # where the last message is, and its id

    def write(self, entries: list[Entry]) -> None:
        if self._mark is not None and not self._inserting.has(*self._mark):
            global_position, id_ = self._mark
            raise StoreRewound(global_position, UUID(id_))
        self._mark = self._write(entries), entries[-1].id

    def _write(self, entries: list[Entry]) -> int:
        """Write what is not stored yet; returns the global position of the last message."""
        new = entries
        stored: Mapping[str, int] = {}
        if self._done.is_exact is not True:
            stored = self._inserting.stored(entries)
            self._done.stored += len(stored)
            new = [entry for entry in entries if entry.id not in stored]
            if self._done.is_exact is None:
                self._decide(entries, stored)
        if not new:
            return stored[entries[-1].id]
        if self._done.is_exact:
            self._check_nobody_else_writes(new[0].global_position)
            self._inserting.as_they_were(new)
            self._last = new[-1].global_position
            last = self._last
        else:
            last = self._inserting.behind(new)[-1]
        self._done.written += len(new)
        announce(self._connection, {entry.stream_name.partition("-")[0] for entry in new})
        return stored.get(entries[-1].id, last)

    def _decide(self, entries: list[Entry], stored: Mapping[str, int]) -> None:
        """Find out, before the first message is written, whether global positions are kept."""
        for number, entry in enumerate(entries):
            if entry.id in stored and stored[entry.id] == entry.global_position:
                self._last = entry.global_position
                continue
            if entry.id in stored or any(each.id in stored for each in entries[number:]):
                self._done.is_exact = False
            else:
                # Only the owner may keep others out, and none of them is to wait in vain.
                self._done.is_exact = self._has_nothing_else()
                if self._done.is_exact:
                    self._inserting.keep_others_out()
                    self._done.is_exact = self._has_nothing_else()
                if self._last and not self._done.is_exact and not self._new_positions:
                    raise StoreBusy(
                        f"The messages up to global position {self._last} were imported with their "
                        "global positions, and the rest can't keep theirs, for others have written "
                        "to the store since: delete all messages with mdb clear, and import again, "
                        "or allow new positions for the rest with --new-positions"
                    )
            return

    def _has_nothing_else(self) -> bool:
        """Whether the store has nothing but what was found of these lines."""
        return self._inserting.number_of_messages(self._done.stored + 1) == self._done.stored

    def _check_nobody_else_writes(self, first: int) -> None:
        self._inserting.keep_others_out()
        newest, drawn = self._inserting.newest()
        if newest != self._last:
            raise StoreBusy(
                "Others have written to the store since the import began, so that global positions "
                "can't be kept: delete all messages with mdb clear, and import again"
            )
        if drawn >= first:
            raise StoreBusy(
                f"Global position {first} can't be kept, for those up to {drawn} were drawn by "
                "writers that have come to nothing: begin anew with mdb clear, and import again"
            )


def _chunks(lines: Iterable[bytes]) -> Iterator[list[Entry]]:
    chunk: list[Entry] = []
    size = 0
    for entry in _entries(lines):
        if chunk and (len(chunk) == _MOST or size + len(entry.text) > _LONGEST):
            yield chunk
            chunk, size = [], 0
        chunk.append(entry)
        size += len(entry.text)
    if chunk:
        yield chunk


def _entries(lines: Iterable[bytes]) -> Iterator[Entry]:
    last, last_number = 0, 0
    for line in parse(lines, EXPORTED):
        values = line.values
        position: int = values["global_position"]
        if position <= last:
            raise InvalidLine(
                line.number,
                f"the global_position must be above {last}, which line {last_number} has: "
                f"{position}",
            )
        last, last_number = position, line.number
        yield Entry(values["id"], values["stream_name"], position, line.text)
