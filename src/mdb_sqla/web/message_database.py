"""Queries of messages, which standbys serve if there are any."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, Engine

from mdb_sqla.consumers.handler_transaction import interruptions
from mdb_sqla.consumers.loop_operations import Interrupted, OnStandby, Operation, Pause, Transact
from mdb_sqla.consumers.runners import run_async
from mdb_sqla.consumers.standby_turns import read_in_turn
from mdb_sqla.consumers.store_engine import store_options
from mdb_sqla.database.error_fields import sqlstate_of
from mdb_sqla.store.settled_state import SettledState
from mdb_sqla.store.standby_reads import Refusal, remains_standby
from mdb_sqla.store.standbys import Standbys
from mdb_sqla.web.bounded_database import (
    ANSWER_TIMEOUT,
    STATEMENT_TIMEOUT,
    BoundedDatabase,
    TooSlow,
)

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["MessageDatabase"]

_T = TypeVar("_T")

# Prefixes of the SQLSTATEs of queries that are wrong or slow: data exception, query canceled.
_OF_QUERY = "22", "57014"


class MessageDatabase:
    """Reads messages from standbys, or from the primary server if none of them can serve a read.

    A standby serves a read when it has replayed all that was committed when the read began. So a
    page never shows less than it would on the primary server.

    At most half of the time that is left is spent on one standby: one that hangs leaves as much to
    the other servers.

    Args:
        primary: runs queries on the primary server.
        standbys: the standbys; None to read from the primary server.

    Raises:
        InvalidArgument: a standby's engine is async and the primary server's is not, or vice versa.
    """

    def __init__(self, primary: BoundedDatabase, standbys: Standbys | None) -> None:
        self._primary = primary
        self._standbys = standbys
        engine = primary.engine
        self._is_async = not isinstance(engine, Engine)
        self._options = store_options(engine if isinstance(engine, Engine) else engine.sync_engine)
        # A standby that hangs blocks only the queries that it serves.
        self._databases: dict[Engine, BoundedDatabase] = {}
        if standbys is not None:
            standbys.check(is_async=self._is_async)

    async def read(
        self,
        work: Callable[[Connection], _T],
        *,
        seconds: float = STATEMENT_TIMEOUT,
        within: float = ANSWER_TIMEOUT,
    ) -> _T:
        """Call a function in a read-only transaction, and return its result.

        It may be called several times, on one server after the other. See `BoundedDatabase.read`.
        """
        standbys = self._standbys
        if standbys is None or standbys.are_unavailable:
            return await self._primary.read(work, seconds=seconds, within=within)
        try:
            async with asyncio.timeout(within):
                found = await self._read_from(standbys, work, seconds, within)
                if found is not None:
                    return found[0]
                return await self._primary.read(work, seconds=seconds, within=within)
        except TimeoutError as error:
            raise TooSlow(within) from error

    async def _read_from(
        self, standbys: Standbys, work: Callable[[Connection], _T], seconds: float, within: float
    ) -> tuple[_T] | None:
        """Return the result, or None if the primary server has to return it."""
        deadline = time.monotonic() + within
        settled = await self._primary.read(SettledState, within=within)
        if settled.horizon is None:
            return None
        left = deadline - time.monotonic()
        if left < within / 2:
            # The primary server is busy. A standby would not be to blame if it took longer.
            return None
        max_wait = min(standbys.max_wait, left / 2)
        begun = threading.Event()
        read = partial(_read, settled, max_wait, work, begun)
        perform = partial(self._perform, seconds, deadline, begun)
        found = await run_async(read_in_turn(standbys, settled.horizon, read, max_wait), perform)
        return None if isinstance(found, Refusal) else found

    async def _perform(
        self, seconds: float, deadline: float, begun: threading.Event, operation: Operation
    ) -> Any:
        left = deadline - time.monotonic()
        if isinstance(operation, OnStandby):
            # A slow query is cancelled before the standby is considered to hang.
            seconds = min(seconds, left / 4)
            database = self._database(operation.engine)
            begun.clear()
            with interruptions():
                try:
                    return await database.read(operation.work, seconds=seconds, within=left / 2)
                except TooSlow as error:
                    if begun.is_set():
                        # It has answered, so the queries take long: see `_read`.
                        return None
                    raise Interrupted(str(error)) from error
        if isinstance(operation, Transact):
            # It writes the log to disk, and uses the connection like a session.
            work: Callable[[Any], Any] = operation.work
            return await self._primary.write(work)
        assert isinstance(operation, Pause)  # noqa: S101 (there are no handlers)
        return await asyncio.sleep(operation.seconds)

    def _database(self, engine: Engine) -> BoundedDatabase:
        if engine not in self._databases:
            self._databases[engine] = BoundedDatabase(self._of_store(engine))
        return self._databases[engine]

    def _of_store(self, engine: Engine) -> Engine | AsyncEngine:
        of_store = engine.execution_options(**self._options)
        if not self._is_async:
            return of_store
        from sqlalchemy.ext.asyncio import AsyncEngine

        return AsyncEngine(of_store)


def _read(
    settled: SettledState,
    max_wait: float,
    work: Callable[[Connection], _T],
    begun: threading.Event,
    standby: Connection,
) -> tuple[_T] | Refusal | None:
    refusal = settled.refusal(standby, max_wait)
    if refusal is not None:
        return refusal
    begun.set()
    try:
        found = work(standby)
    except Exception as error:
        if not (sqlstate_of(error) or "").startswith(_OF_QUERY):
            raise
        # The standby is not to blame; whether it fails is for the primary server to say.
        return None
    return (found,) if remains_standby(standby) else Refusal.IS_NO_STANDBY
