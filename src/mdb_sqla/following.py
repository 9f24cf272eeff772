"""Follows what is written to a store while it is written."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from sqlalchemy import Engine

from mdb_sqla.lines import RawMessage
from mdb_sqla.listening import listening
from mdb_sqla.raw_reading import RawReader

__all__ = ["Following"]

_POLL = 1.0  # seconds between two looks, where nobody tells of messages


class Following:
    """Reads what there is, and then what comes, until it is told to end.

    It is woken by writers that use this library, and looks once a second for what others write.
    Only what is settled is read, so that nothing is ever skipped.

    Args:
        engine: what to connect with; no transaction is held open.
        reader: what to read.
    """

    def __init__(self, engine: Engine, reader: RawReader) -> None:
        self._engine = engine
        self._reader = reader
        self._woken = threading.Event()
        self._ended = False

    def end(self) -> None:
        """Have it end, once what was read is taken; from any thread, or a signal handler."""
        self._ended = True
        self._woken.set()

    def __iter__(self) -> Iterator[list[RawMessage]]:
        """Iterate over messages in batches, without an end."""
        autocommit = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        category = self._reader.category
        with (
            autocommit.connect() as connection,
            listening(self._engine, [] if category is None else [category], self._woken.set),
        ):
            while not self._ended:
                self._woken.clear()
                batch = self._reader.next(connection)
                if batch:
                    yield batch
                elif not self._ended:
                    self._woken.wait(_POLL)
