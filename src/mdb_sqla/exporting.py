"""Exports the messages that there are, to a file that it can go on with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mdb_sqla.errors import InvalidArgument, InvalidLine
from mdb_sqla.execution import Database
from mdb_sqla.lines import KEYS, OPTIONAL_KEYS, RawMessage, parse
from mdb_sqla.raw_reading import RawReader

__all__ = ["export", "go_on"]

_BLOCK = 64 * 1024  # bytes


def export(db: Database, reader: RawReader) -> Iterator[list[RawMessage]]:
    """Iterate over the messages that there are now, in batches.

    What is written meanwhile is left out, so that it comes to an end. Over a connection with
    isolation level AUTOCOMMIT, no transaction is held open for longer than a batch.

    Args:
        db: a session or connection.
        reader: what to read, and where to begin; afterwards it is where the export ended.
    """
    end = reader.end(db)
    while reader.position <= end:
        batch = reader.next(db)
        if not batch:
            return
        if reader.position > end:
            batch = [each for each in batch if reader.position_of(each) <= end]
            reader.position = end + 1
        yield batch


def go_on(path: Path, reader: RawReader) -> BinaryIO:
    """Open the file of an export to append to it, and set the reader to what comes after it.

    A line that was written in part is removed. Where there is no file, it is made.

    Raises:
        InvalidArgument: the file can't be opened, or its last line is no message that is read here.
    """
    try:
        file = path.open("a+b")
    except OSError as error:
        raise InvalidArgument(f"The file can't be written: {error}") from error
    try:
        last = _last_line(file)
        if last is not None:
            (line,) = parse([last], KEYS, OPTIONAL_KEYS)
            if not reader.includes(line.values["stream_name"]):
                raise InvalidArgument(
                    f"The file has messages of {line.values['stream_name']!r}, which is not "
                    "exported now"
                )
            reader.position = 1 + line.values[reader.counts_by]
    except InvalidLine as error:
        file.close()
        raise InvalidArgument(f"The last line of the file is no message: {error}") from error
    except BaseException:
        file.close()
        raise
    return file


def _last_line(file: BinaryIO) -> bytes | None:
    """Return the last whole line, and remove what comes after it."""
    end = file.seek(0, os.SEEK_END)
    tail = b""
    while end > 0 and tail.count(b"\n") < 2:
        begin = max(0, end - _BLOCK)
        file.seek(begin)
        tail = file.read(end - begin) + tail
        end = begin
    whole, newline, torn = tail.rpartition(b"\n")
    if torn:
        file.truncate(file.seek(0, os.SEEK_END) - len(torn))
    return whole.rpartition(b"\n")[2] + newline if newline else None
