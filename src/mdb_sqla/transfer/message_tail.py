"""Follows what is written to a store while it is written."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from mdb_sqla.database.server_errors import is_passing
from mdb_sqla.errors import ReadNotExact, StoreRewound, TransactionConflict
from mdb_sqla.transfer.json_lines import RawMessage
from mdb_sqla.transfer.raw_reads import RawReader
from mdb_sqla.wake_up.listener import listening

__all__ = ["Following", "Trouble"]

Trouble = DBAPIError | ReadNotExact | TransactionConflict | StoreRewound
"""What passes by itself, or where the store was rewound."""

_POLL = 1.0  # seconds between two looks, where nobody tells of messages, or to connect again


class Following:
    """Reads what there is, and then what comes, until it is told to end.

    It is woken by writers that use this library, and looks once a second for what others write.
    Only what is settled is read, so that nothing is ever skipped. Where the connection is lost, it
    connects again and goes on where it was. Where the store was rewound, it goes on after the
    newest message that it has read and that is still there, else with the first one.

    Args:
        engine: what to connect with; no transaction is held open.
        reader: what to read.
        report: is called with each loss of the connection, each failure to connect since, what
            else passes by itself, and each time that the store was rewound.
    """

    def __init__(
        self,
        engine: Engine,
        reader: RawReader,
        report: Callable[[Trouble], object],
    ) -> None:
        self._engine = engine
        self._reader = reader
        self._report = report
        self._woken = threading.Event()
        self._ended = False

    def end(self) -> None:
        """Have it end, once what was read is taken; from any thread, or a signal handler."""
        self._ended = True
        self._woken.set()

    def __iter__(self) -> Iterator[list[RawMessage]]:
        """Iterate over messages in batches, without an end.

        Raises:
            DBAPIError: there is no connection to begin with, or the server refuses to read.
        """
        has_connected = False
        while not self._ended:
            try:
                with self._engine.connect() as connection:
                    has_connected = True
                    yield from self._read(
                        connection.execution_options(isolation_level="READ COMMITTED")
                    )
            except (DBAPIError, ReadNotExact, TransactionConflict) as error:
                if not has_connected or not is_passing(error):
                    raise
                self._woken.clear()
                self._report(error)
                if not self._ended:
                    self._woken.wait(_POLL)

    def _read(self, connection: Connection) -> Iterator[list[RawMessage]]:
        category = self._reader.category
        categories = [] if category is None else [category]
        with listening(self._engine, categories, self._woken.set):
            while not self._ended:
                self._woken.clear()
                try:
                    batch = self._reader.next(connection)
                except StoreRewound as error:
                    self._report(error)
                    self._reader.go_back(connection)
                    connection.commit()
                    continue
                connection.commit()
                if batch:
                    yield batch
                elif not self._ended:
                    self._woken.wait(_POLL)
