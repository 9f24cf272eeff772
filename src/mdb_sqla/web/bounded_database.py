"""Queries of the web interface, bounded in time and in number."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, func, select

from mdb_sqla.database.citus import Unoffered, refuse_on_citus
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.words.argument_checks import described

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["ANSWER_TIMEOUT", "STATEMENT_TIMEOUT", "BoundedDatabase", "TooSlow", "Unavailable"]

_T = TypeVar("_T")

STATEMENT_TIMEOUT = 1.0
"""The maximum duration of a statement, in seconds."""

ANSWER_TIMEOUT = 5.0
"""The maximum duration of a transaction, including the connection, in seconds."""

_CONCURRENT = 4  # transactions; others wait for one of these


class Unavailable(Exception):
    """The state of the store is unknown."""


class TooSlow(Unavailable):
    """The database did not answer in time."""

    def __init__(self, within: float, *, readonly: bool = True) -> None:
        effect = "" if readonly else "; what you requested may still be done"
        super().__init__(f"The database did not answer within {within:g} seconds{effect}")


class BoundedDatabase:
    """Runs short transactions over the connections of an engine.

    Each has a time-out, and few run at a time. So a database that hangs costs a few connections,
    and a query that turns out to be slow is cancelled by the server.

    Args:
        engine: the engine of the store.

    Raises:
        InvalidArgument: `engine` is neither an `Engine` nor an `AsyncEngine`.
    """

    def __init__(self, engine: Engine | AsyncEngine) -> None:
        if not isinstance(engine, Engine) and not isinstance(
            getattr(engine, "sync_engine", None), Engine
        ):
            raise InvalidArgument(
                f"engine must be an Engine or an AsyncEngine, got {described(engine)}"
            )
        self.engine = engine
        # By event loop: test clients run each request in a new one.
        self._permits: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = (
            WeakKeyDictionary()
        )

    async def read(
        self,
        work: Callable[[Connection], _T],
        *,
        seconds: float = STATEMENT_TIMEOUT,
        within: float = ANSWER_TIMEOUT,
    ) -> _T:
        """Call a function in a read-only transaction, and return its result.

        Args:
            work: the function.
            seconds: the maximum duration of a statement.
            within: the maximum duration of the transaction.

        Raises:
            NotOffered: the store is distributed with Citus.
            TooSlow: the database did not answer in time.
        """
        return await self._run(work, seconds, within, readonly=True)

    async def write(self, work: Callable[[Connection], _T]) -> _T:
        """Call a function in a transaction, commit it, and return the function's result.

        Raises:
            NotOffered: the store is distributed with Citus.
            TooSlow: the database did not answer in time. The transaction may still commit.
        """
        return await self._run(work, STATEMENT_TIMEOUT, ANSWER_TIMEOUT, readonly=False)

    async def _run(
        self, work: Callable[[Connection], _T], seconds: float, within: float, *, readonly: bool
    ) -> _T:
        options = {"isolation_level": "READ COMMITTED", "postgresql_readonly": readonly}

        def transact(connection: Connection) -> _T:
            # At least a millisecond: 0 would disable the time-outs.
            milliseconds = str(max(1, round(seconds * 1_000)))
            names = "statement_timeout", "lock_timeout"
            connection.execute(
                select(*(func.set_config(name, milliseconds, True) for name in names))
            )
            refuse_on_citus(connection, Unoffered.WEB)
            result = work(connection)
            if not readonly:
                connection.commit()
            return result

        try:
            async with asyncio.timeout(within):
                if isinstance(self.engine, Engine):
                    return await self._in_thread(self.engine, options, transact)
                async with self._running(), self.engine.connect() as connection:
                    await connection.execution_options(**options)
                    return await connection.run_sync(transact)
        except TimeoutError as error:
            raise TooSlow(within, readonly=readonly) from error

    async def _in_thread(
        self, engine: Engine, options: dict[str, Any], transact: Callable[[Connection], _T]
    ) -> _T:
        loop = asyncio.get_running_loop()
        future: Future[_T] = Future()
        running = self._running()
        await running.acquire()

        def run() -> None:
            # The request may have given up.
            with suppress(InvalidStateError):
                try:
                    with engine.connect() as connection:
                        future.set_result(transact(connection.execution_options(**options)))
                except BaseException as error:
                    future.set_exception(error)
            # Only now: a thread that hangs counts until it ends. The loop may be closed.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(running.release)

        # A daemon: the process can exit although the database hangs.
        threading.Thread(target=run, name="mdb_sqla web", daemon=True).start()
        return await asyncio.wrap_future(future)

    def _running(self) -> asyncio.Semaphore:
        loop = asyncio.get_running_loop()
        return self._permits.setdefault(loop, asyncio.Semaphore(_CONCURRENT))
