"""Export of messages to a file, which a later export can resume."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from sqlalchemy import Connection

from mdb_sqla.database.execution import Database
from mdb_sqla.errors import InvalidArgument, InvalidLine, ReadNotExact
from mdb_sqla.store.read_statements import settled_position
from mdb_sqla.store.standby_reads import remains_standby
from mdb_sqla.transfer.json_lines import parse
from mdb_sqla.transfer.line_validation import EXPORTED
from mdb_sqla.transfer.raw_reads import RawReader
from mdb_sqla.transfer.rewind_detection import Mark
from mdb_sqla.transfer.standby_transactions import StandbyTransactions
from mdb_sqla.words.raw_message import RawMessage

__all__ = ["export", "open_export"]

_BLOCK = 64 * 1024  # bytes
_LINE_START = b'{"id": "'  # of every exported line


def export(
    db: Database,
    reader: RawReader,
    *,
    read_from: Connection | None = None,
    max_wait: float = 10.0,
) -> Iterator[list[RawMessage]]:
    """Yield the existing messages in batches.

    Messages written during the export are not included. With isolation level AUTOCOMMIT, no
    transaction is open for longer than one batch.

    Args:
        db: a session or connection.
        reader: determines what to read and where to start; after the export, it is positioned after
            the last message.
        read_from: a connection to a standby, in no transaction, to read from in place of `db`; each
            batch is a transaction there.
        max_wait: how many seconds the standby may need to replay what there is.

    Raises:
        NotOffered: the store is distributed with Citus, and the reader reads all messages, or reads
            from a standby.
        ReadNotExact: the isolation level is not READ COMMITTED, or a server is not the one that it
            must be: `db` the primary server, and `read_from` a standby of it that doesn't lag.
        StoreRewound: the last message read, or the last one in the file, no longer exists; export
            to a new file.
        InvalidArgument: the start position is beyond the end of the store, or `db` has written
            something in its transaction, which the standby to read from lacks.
    """
    transactions = None if read_from is None else StandbyTransactions(db, reader.category, max_wait)
    if read_from is None or transactions is None or transactions.is_empty:
        end = reader.end(db)
        while batch := reader.next(db, until=end):
            yield batch
        return
    with read_from.begin():
        transactions.begin(read_from)
        # Refuses other isolation levels, which the reads of a stream don't.
        settled_position(read_from, reader.category)
        end = reader.end(read_from)
    while True:
        # What is not returned is read again by a later export.
        with reader.restored_on_error(), read_from.begin():
            transactions.begin(read_from)
            batch = reader.next(read_from, until=end)
            if not remains_standby(read_from):
                raise ReadNotExact("The standby was promoted during the export")
        if not batch:
            return
        yield batch


def open_export(path: Path, reader: RawReader) -> BinaryIO:
    """Open or create an export file for appending, and move the reader after its last message.

    An incomplete last line is removed.

    Raises:
        InvalidArgument: the file can't be opened, or its last line is not a message that the
            reader would read. The file is left unchanged.
    """
    try:
        file = path.open("a+b")
    except OSError as error:
        raise InvalidArgument(f"Can't write the file: {error}") from error
    try:
        last, incomplete = _last_line(file)
        if last is not None:
            reader.resume(_mark(last, reader))
        if incomplete:
            # Don't truncate a file that is not an export.
            if not incomplete.startswith(_LINE_START) and not _LINE_START.startswith(incomplete):
                raise InvalidArgument("The last line of the file is not an exported message")
            file.truncate(file.seek(0, os.SEEK_END) - len(incomplete))
    except BaseException:
        file.close()
        raise
    return file


def _mark(last: bytes, reader: RawReader) -> Mark:
    try:
        line = next(parse([last], EXPORTED), None)
    except InvalidLine as error:
        raise InvalidArgument(
            f"The last line of the file is not an exported message: {error}"
        ) from error
    if line is None:
        raise InvalidArgument("The last line of the file is not an exported message: it is blank")
    if not reader.includes(line.values["stream_name"]):
        raise InvalidArgument(
            f"The file contains messages of {line.values['stream_name']!r}, which this export does "
            "not include: export to a new file"
        )
    values = line.values
    category = values["stream_name"].partition("-")[0]
    return Mark(values[reader.counts_by], values["global_position"], UUID(values["id"]), category)


def _last_line(file: BinaryIO) -> tuple[bytes | None, bytes]:
    """Return the last complete line or None, and the incomplete line after it."""
    end = file.seek(0, os.SEEK_END)
    tail = b""
    while end > 0 and tail.count(b"\n") < 2:
        # Double the length each time, because a line can be very long.
        begin = max(0, end - max(_BLOCK, len(tail)))
        file.seek(begin)
        tail = file.read(end - begin) + tail
        end = begin
    complete, newline, incomplete = tail.rpartition(b"\n")
    return (complete.rpartition(b"\n")[2] + newline if newline else None), incomplete
