"""Tailing of the messages written to a store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from mdb_sqla.database.sqlstates import is_transient
from mdb_sqla.errors import ReadNotExact, StoreRewound, TransactionConflict
from mdb_sqla.transfer.raw_reads import RawReader
from mdb_sqla.wake_up.listener import subscribe
from mdb_sqla.words.raw_message import RawMessage

__all__ = ["Following", "ReadError"]

ReadError = DBAPIError | ReadNotExact | TransactionConflict | StoreRewound
"""A transient error, or a rewound store."""

_POLL_INTERVAL = 1.0  # seconds; also the pause before a reconnect


class Following:
    """Reads existing messages and then new ones as they are committed, until stopped.

    Writers that use this library wake it; it also polls once a second. It reads only up to
    positions that are final, so no message is skipped. After a lost connection, it reconnects and
    continues where it was. If the store was rewound, it continues after the newest message that it
    has read and that still exists, or else with the first message.

    Args:
        engine: connects to the store; no transaction is held open.
        reader: determines what to read and where to start.
        report: called with each transient error, and with `StoreRewound` if the store was rewound.
    """

    def __init__(
        self,
        engine: Engine,
        reader: RawReader,
        report: Callable[[ReadError], object],
    ) -> None:
        self._engine = engine
        self._reader = reader
        self._report = report
        self._woken = threading.Event()
        self._is_stopped = False

    def end(self) -> None:
        """Stop after the current batch. Can be called from any thread or signal handler."""
        self._is_stopped = True
        self._woken.set()

    def __iter__(self) -> Iterator[list[RawMessage]]:
        """Yield messages in batches, until stopped.

        Raises:
            DBAPIError: the first connection failed, or the server rejected the read.
        """
        has_connected = False
        while not self._is_stopped:
            try:
                with self._engine.connect() as connection:
                    has_connected = True
                    yield from self._read(
                        connection.execution_options(isolation_level="READ COMMITTED")
                    )
            except (DBAPIError, ReadNotExact, TransactionConflict) as error:
                if not has_connected or not is_transient(error):
                    raise
                self._woken.clear()
                self._report(error)
                if not self._is_stopped:
                    self._woken.wait(_POLL_INTERVAL)

    def _read(self, connection: Connection) -> Iterator[list[RawMessage]]:
        category = self._reader.category
        categories = [] if category is None else [category]
        with subscribe(self._engine, categories, self._woken.set):
            while not self._is_stopped:
                self._woken.clear()
                try:
                    batch = self._reader.next(connection)
                except StoreRewound as error:
                    self._report(error)
                    self._reader.go_back(connection)
                    connection.commit()
                    continue
                try:
                    connection.commit()
                except DBAPIError:
                    # The reader continues after this batch, so it must not get lost with the
                    # connection.
                    if batch:
                        yield batch
                    raise
                if batch:
                    yield batch
                elif not self._is_stopped:
                    self._woken.wait(_POLL_INTERVAL)
