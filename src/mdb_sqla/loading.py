from __future__ import annotations

from collections.abc import Callable

from mdb_sqla.errors import InvalidArgument
from mdb_sqla.execution import Database, connection_of, is_autocommit
from mdb_sqla.message import Message
from mdb_sqla.writing import write_messages

__all__ = ["Load"]

_CHUNK = 10_000  # messages


class Load:
    """Writes messages in chunks, so that only one of them has to be in memory."""

    def __init__(self, idempotent: bool, progress: Callable[[int], object] | None) -> None:
        self._idempotent = idempotent
        self._progress = progress
        self._chunk: list[tuple[str, Message]] = []
        self._number = 0

    def check(self, db: Database) -> None:
        """Check that what is written can be taken back.

        Raises:
            InvalidArgument: each statement is a transaction of its own.
        """
        if is_autocommit(connection_of(db)):
            raise InvalidArgument("load needs a transaction; the connection is AUTOCOMMIT")

    def add(self, pair: tuple[str, Message]) -> bool:
        """Take a message; returns whether it is time to write."""
        self._chunk.append(pair)
        return len(self._chunk) == _CHUNK

    def write(self, db: Database) -> int:
        """Write what was taken; returns the number of messages so far."""
        if self._chunk:
            write_messages(db, self._chunk, None, self._idempotent)
            self._number += len(self._chunk)
            self._chunk.clear()
            if self._progress is not None:
                self._progress(self._number)
        return self._number
