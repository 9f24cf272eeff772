from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mdb_sqla.column_types import json_serializer
from mdb_sqla.database.execution import Database, connection_of, dialect_of, is_autocommit
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.message_types import MessageTypes
from mdb_sqla.store.message_limits import MAX_CALL_LENGTH, length_of
from mdb_sqla.store.write_arguments import Write
from mdb_sqla.store.writes import write_all
from mdb_sqla.words.argument_checks import flag

__all__ = ["Load"]

_CHUNK = 10_000  # messages


class Load:
    """Writes messages in chunks, keeping one chunk in memory."""

    def __init__(
        self,
        idempotent: bool,
        progress: Callable[[int], object] | None,
        types: MessageTypes | None,
    ) -> None:
        self._idempotent = flag("idempotent", idempotent)
        self._progress = progress
        self._types = types
        self._chunk: list[Write] = []
        self._length = 0
        self._number = 0
        self._serialize: Callable[[Any], str]

    def begin(self, db: Database) -> None:
        """Prepare to write over a session or connection.

        Raises:
            InvalidArgument: the connection is AUTOCOMMIT, so a chunk could not be rolled back.
        """
        if is_autocommit(connection_of(db)):
            raise InvalidArgument("load requires a transaction; the connection is AUTOCOMMIT")
        self._serialize = json_serializer(dialect_of(db))

    def add(self, pair: tuple[str, Any]) -> bool:
        """Add a message to the chunk, and return whether the chunk is full.

        Raises:
            InvalidArgument: the argument is not a pair of a stream name and a message.
            InvalidMessage: data or metadata is not JSON.
        """
        write = Write.of_pair(pair, self._serialize, types=self._types)
        self._chunk.append(write)
        self._length += sum(length_of([(write.stream_name, *entry)]) for entry in write.entries)
        return len(self._chunk) == _CHUNK or self._length > MAX_CALL_LENGTH

    def write(self, db: Database) -> int:
        """Write the chunk, and return the number of messages written so far."""
        if self._chunk:
            write_all(db, self._chunk, idempotent=self._idempotent)
            self._number += len(self._chunk)
            self._chunk.clear()
            self._length = 0
            if self._progress is not None:
                self._progress(self._number)
        return self._number
