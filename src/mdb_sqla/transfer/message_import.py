"""Import of exported messages, at their original global positions or at new ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from mdb_sqla.database.citus import Unoffered, refuse_on_citus
from mdb_sqla.database.execution import check_isolation
from mdb_sqla.errors import InvalidArgument, InvalidLine, StoreBusy, StoreRewound
from mdb_sqla.transfer.json_lines import parse
from mdb_sqla.transfer.line_validation import EXPORTED
from mdb_sqla.transfer.original_position_insert import Entry, HistoryInsert
from mdb_sqla.transfer.rewind_detection import Mark, stored
from mdb_sqla.wake_up.notifier import announce

__all__ = ["Imported", "import_lines"]

_MAX_MESSAGES = 5_000  # in a transaction
_MAX_BYTES = 16 * 1024 * 1024  # in a transaction of more than one message


@dataclass
class Imported:
    """The progress of an import.

    Attributes:
        written: the number of messages written.
        stored: the number of messages that were already stored.
        is_exact: whether global positions are preserved; None until the first message is written.
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
    """Import exported messages, in transactions of at most 5,000 messages.

    Ids, times and order are preserved; positions in a stream continue from its version, and a new
    stream begins at the position of its first message, as others may have been deleted. If the
    store is empty, except for messages of an earlier run, global positions are preserved too, so
    consumers' positions stay valid, and the sequence is advanced. Otherwise messages get new global
    positions. Messages that are already stored are skipped: to resume an interrupted import, run it
    again.

    Args:
        connection: a connection that is not in a transaction. To preserve global positions, it must
            be that of the store's owner.
        lines: lines as returned by `RawMessage.line`, by ascending global position.
        progress: called after each transaction.
        new_positions: whether an interrupted import that preserved global positions may continue
            with new ones if others have written in the meantime.

    Returns:
        The numbers of messages written and skipped.

    Raises:
        InvalidLine: a line is not an exported message. Its transaction is rolled back; earlier
            transactions stay committed.
        DuplicateMessageId: another message has the same id.
        StoreBusy: global positions can't be preserved because of other writers.
        StoreRewound: messages written by this run no longer exist; run the import again.
        NotOffered: the store is distributed with Citus.
        InvalidArgument: the connection is in a transaction, or its isolation level is not READ
            COMMITTED.
    """
    if connection.in_transaction():
        raise InvalidArgument(
            "The connection is in a transaction, but an import begins and commits its own"
        )
    done = Imported()
    run = _ImportRun(connection, done, new_positions)
    for chunk in _chunks(lines):
        with connection.begin():
            check_isolation(connection, "An import")
            refuse_on_citus(connection, Unoffered.IMPORT)
            run.write(chunk)
        if progress is not None:
            progress(done)
    return done


class _ImportRun:
    def __init__(self, connection: Connection, done: Imported, new_positions: bool) -> None:
        self._connection = connection
        self._insert = HistoryInsert(connection)
        self._done = done
        self._new_positions = new_positions
        self._last = 0  # last global position that was preserved
        self._mark: Mark | None = None  # the last message

    def write(self, entries: list[Entry]) -> None:
        if self._mark is not None and not stored(self._connection, [self._mark]):
            raise StoreRewound(self._mark.global_position, self._mark.id)
        last = entries[-1]
        position = self._write(entries)
        category = last.stream_name.partition("-")[0]
        self._mark = Mark(position, position, UUID(last.id), category)

    def _write(self, entries: list[Entry]) -> int:
        """Write the messages not stored yet, and return the global position of the last entry."""
        new = entries
        known: Mapping[str, int] = {}
        if self._done.is_exact is not True:
            known = self._insert.stored(entries)
            self._done.stored += len(known)
            new = [entry for entry in entries if entry.id not in known]
            if self._done.is_exact is None:
                self._decide(entries, known)
        if not new:
            return known[entries[-1].id]
        if self._done.is_exact:
            self._check_no_other_writers(new[0].global_position)
            self._insert.at_original_positions(new)
            self._last = new[-1].global_position
            last = self._last
        else:
            last = self._insert.at_new_positions(new)[-1]
        self._done.written += len(new)
        announce(self._connection, {entry.stream_name.partition("-")[0] for entry in new})
        return known.get(entries[-1].id, last)

    def _decide(self, entries: list[Entry], known: Mapping[str, int]) -> None:
        """Decide, before the first message is written, whether to preserve global positions."""
        for number, entry in enumerate(entries):
            if entry.id in known and known[entry.id] == entry.global_position:
                self._last = entry.global_position
                continue
            if entry.id in known or any(each.id in known for each in entries[number:]):
                self._done.is_exact = False
            else:
                # Lock only if needed: this requires the owner's privileges and blocks writers.
                first = entry.global_position
                self._done.is_exact = self._has_no_others(first)
                if self._done.is_exact:
                    self._insert.lock_out_others()
                    self._done.is_exact = self._has_no_others(first)
                if self._last and not self._done.is_exact and not self._new_positions:
                    raise StoreBusy(
                        "The import can't continue: it preserved global positions up to "
                        f"{self._last}, and others have written to the store since. Delete all "
                        "messages with mdb clear and import again, or pass --new-positions "
                        "(new_positions=True) to import the rest at new global positions"
                    )
            return

    def _has_no_others(self, first: int) -> bool:
        """Return whether the store has no messages other than those of these lines.

        A store that a policy has emptied has had others if they used the first position.
        """
        number = self._done.stored
        return self._insert.number_of_messages(number + 1) == number and (
            number > 0 or self._insert.deleted_up_to() < first
        )

    def _check_no_other_writers(self, first: int) -> None:
        self._insert.lock_out_others()
        newest, drawn = self._insert.newest()
        # Less if a policy has deleted messages of this import since.
        if newest > self._last:
            raise StoreBusy(
                "Can't preserve global positions: others have written to the store since the "
                "import began. Delete all messages with mdb clear and import again"
            )
        if drawn >= first:
            raise StoreBusy(
                f"Can't preserve global position {first}: rolled-back transactions, or messages "
                f"that were deleted, have used positions up to {drawn}. Delete all messages with "
                "mdb clear and import again"
            )


def _chunks(lines: Iterable[bytes]) -> Iterator[list[Entry]]:
    chunk: list[Entry] = []
    size = 0
    for entry in _entries(lines):
        if chunk and (len(chunk) == _MAX_MESSAGES or size + len(entry.text) > _MAX_BYTES):
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
                f"global_position must be greater than {last}, that of line {last_number}, "
                f"got {position}",
            )
        last, last_number = position, line.number
        yield Entry(values["id"], values["stream_name"], values["position"], position, line.text)
