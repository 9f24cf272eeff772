"""Exports the messages that there are, to a file that it can go on with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from mdb_sqla.errors import InvalidArgument, InvalidLine
from mdb_sqla.execution import Database
from mdb_sqla.lines import KEYS, OPTIONAL_KEYS, RawMessage, parse
from mdb_sqla.raw_reading import RawReader

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
        InvalidArgument: the message that the file ends with is not where it was in this store.
    """
    _check_what_was_read(db, reader)
    end = reader.end(db)
    while reader.position <= end:
        batch = reader.next(db)
        if not batch:
            return
        if reader.position > end:
            batch = [each for each in batch if reader.position_of(each) <= end]
            reader.position = end + 1
        yield batch


def _check_what_was_read(db: Database, reader: RawReader) -> None:
    """See that what a file has is of this store; it may be of one that was cleared since."""
    if reader.last_id is None:
        return
    begin = reader.position
    reader.position = begin - 1
    found = reader.next(db, 1)
    reader.position = begin
    if [each.id for each in found] != [reader.last_id]:
        raise InvalidArgument(
            f"The file ends with message {reader.last_id}, which this store does not have at "
            f"{reader.counts_by} {begin - 1}: export to another file"
        )


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
            reader.last_id, position = _id_and_position(last, reader)
            reader.position = position + 1
        if torn:
            # Somebody's file, and not an export of ours, is not to lose its end.
            if not torn.startswith(_BEGINNING) and not _BEGINNING.startswith(torn):
                raise InvalidArgument("The file ends with something that is no message")
            file.truncate(file.seek(0, os.SEEK_END) - len(torn))
    except BaseException:
        file.close()
        raise
    return file


def _id_and_position(last: bytes, reader: RawReader) -> tuple[UUID, int]:
    try:
        line = next(parse([last], KEYS, OPTIONAL_KEYS), None)
    except InvalidLine as error:
        raise InvalidArgument(f"The last line of the file is no message: {error}") from error
    if line is None:
        raise InvalidArgument("The last line of the file is no message: it is blank")
    if not reader.includes(line.values["stream_name"]):
        raise InvalidArgument(
            f"The file has messages of {line.values['stream_name']!r}, which is not exported now"
        )
    return UUID(line.values["id"]), line.values[reader.counts_by]


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
