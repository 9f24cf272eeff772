"""Exports the messages that there are, to a file that it can go on with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from mdb_sqla.database.execution import Database
from mdb_sqla.errors import InvalidArgument, InvalidLine
from mdb_sqla.transfer.json_lines import RawMessage, parse
from mdb_sqla.transfer.line_format import EXPORTED
from mdb_sqla.transfer.raw_reads import RawReader
from mdb_sqla.transfer.read_marks import Mark

__all__ = ["export", "go_on"]

_BLOCK = 64 * 1024  # bytes
_BEGINNING = b'{"id": "'  # of every line that an export writes


def export(db: Database, reader: RawReader) -> Iterator[list[RawMessage]]:
    """Iterate over the messages that there are now, in batches.

    What is written meanwhile is left out, so that it comes to an end. Over a connection with
    isolation level AUTOCOMMIT, no transaction is held open for longer than a batch.

    Args:
        db: a session or connection.
        reader: what to read, and where to begin; afterwards it is where the export ended.

    Raises:
        StoreRewound: the message that was read last, or that the file ends with, is not there any
            more: export to another file.
        InvalidArgument: the store has not reached the position to begin at.
    """
    end = reader.end(db)
    while batch := reader.next(db, until=end):
        yield batch


def go_on(path: Path, reader: RawReader) -> BinaryIO:
    """Open the file of an export to append to it, and set the reader to what comes after it.

    A line that was written in part is removed. Where there is no file, it is made.

    Raises:
        InvalidArgument: the file can't be opened, or what it ends with is no message that is read
            here; nothing is removed then.
    """
    try:
        file = path.open("a+b")
    except OSError as error:
        raise InvalidArgument(f"The file can't be written: {error}") from error
    try:
        last, torn = _end(file)
        if last is not None:
            reader.resume(_mark(last, reader))
        if torn:
            # Somebody's file, and not an export of ours, is not to lose its end.
            if not torn.startswith(_BEGINNING) and not _BEGINNING.startswith(torn):
                raise InvalidArgument("The file ends with something that is no message")
            file.truncate(file.seek(0, os.SEEK_END) - len(torn))
    except BaseException:
        file.close()
        raise
    return file


def _mark(last: bytes, reader: RawReader) -> Mark:
    try:
        line = next(parse([last], EXPORTED), None)
    except InvalidLine as error:
        raise InvalidArgument(f"The last line of the file is no message: {error}") from error
    if line is None:
        raise InvalidArgument("The last line of the file is no message: it is blank")
    if not reader.includes(line.values["stream_name"]):
        raise InvalidArgument(
            f"The file has messages of {line.values['stream_name']!r}, which is not exported now"
        )
    values = line.values
    return Mark(values[reader.counts_by], values["global_position"], UUID(values["id"]))


def _end(file: BinaryIO) -> tuple[bytes | None, bytes]:
    """Return the last whole line, if there is one, and what comes after it."""
    end = file.seek(0, os.SEEK_END)
    tail = b""
    while end > 0 and tail.count(b"\n") < 2:
        # Twice as much each time, for a line can be very long.
        begin = max(0, end - max(_BLOCK, len(tail)))
        file.seek(begin)
        tail = file.read(end - begin) + tail
        end = begin
    whole, newline, torn = tail.rpartition(b"\n")
    return (whole.rpartition(b"\n")[2] + newline if newline else None), torn
