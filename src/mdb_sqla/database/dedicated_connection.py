"""Dedicated connections for background threads, outside the application's pool."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from selectors import EVENT_READ, DefaultSelector
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sqlalchemy import Connection, Dialect, Engine, create_engine

from mdb_sqla.database.application_connections import reject_application_connections

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["DedicatedConnection", "can_listen", "dedicated_connection", "dedicated_engine"]

_T = TypeVar("_T")

_CONNECT_TIMEOUT = 10.0  # seconds
_GRACE = 0.5  # seconds for an interrupted attempt to finish: drivers leak cancelled connections


class _Interrupted(Exception):
    """The connection is no longer needed."""


class DedicatedConnection(Protocol):
    """A connection that is opened on first use, and reopened after an error.

    Only `interrupt` is thread-safe.
    """

    def run(self, work: Callable[[Connection], _T]) -> _T:
        """Call a function with the connection."""

    def listen(
        self, channel: str, ready: Callable[[], object], take: Callable[[str], object]
    ) -> None:
        """Receive notifications until interrupted.

        Args:
            channel: the channel.
            ready: called after LISTEN.
            take: called with the payload of each notification.
        """

    def interrupt(self) -> None:
        """Make this and later calls of `listen` return, and abort a connection attempt.

        Can be called from any thread. The blocking connection attempt of a sync driver can't be
        aborted.
        """

    def close(self) -> None:
        """Close the connection permanently."""


def dedicated_engine(engine: Engine) -> Engine:
    """Return an engine that connects like the application's, with its own pool and AUTOCOMMIT.

    The application's engine must have connected before, or two threads could initialize its dialect
    at the same time. The new engine keeps it alive, because listeners of the pool refer to it. It
    rejects application connections, which a `creator` may return.
    """
    pool = engine.pool.recreate()
    reject_application_connections(pool, engine.dialect)
    options: dict[str, Any] = {
        "pool": pool,
        "execution_options": {
            **engine.get_execution_options(),
            "isolation_level": "AUTOCOMMIT",
            # A server-side cursor requires a transaction.
            "stream_results": False,
            "yield_per": None,
        },
    }
    if not engine.dialect.is_async:
        return create_engine(engine.url, **options)
    from sqlalchemy.ext.asyncio import create_async_engine

    return create_async_engine(engine.url, **options).sync_engine


def dedicated_connection(engine: Engine) -> DedicatedConnection:
    """Return a dedicated connection of an engine that `dedicated_engine` returned."""
    return _AsyncConnection(engine) if engine.dialect.is_async else _SyncConnection(engine)


def can_listen(engine: Engine) -> bool:
    """Return whether the engine's driver can receive notifications."""
    return engine.dialect.driver in {"psycopg", "asyncpg"}


class _SyncConnection:
    """A connection of a sync driver."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self._interrupted, self._interruption = socket.socketpair()

    def run(self, work: Callable[[Connection], _T]) -> _T:
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
            return work(self._connection)
        except BaseException:
            self._disconnect()
            raise

    def listen(
        self, channel: str, ready: Callable[[], object], take: Callable[[str], object]
    ) -> None:
        def listen(connection: Connection) -> None:
            driver: Any = connection.connection.driver_connection
            connection.exec_driver_sql(_listen(channel, connection.dialect))
            ready()
            with DefaultSelector() as selector:
                selector.register(driver, EVENT_READ)
                selector.register(self._interrupted, EVENT_READ, self)
                while True:
                    for notification in driver.notifies(timeout=0):
                        take(notification.payload)
                    if any(key.data is self for key, _ in selector.select()):
                        return

        self.run(listen)

    def interrupt(self) -> None:
        with suppress(OSError):
            self._interruption.send(b"\0")

    def close(self) -> None:
        self._disconnect()
        self._interrupted.close()
        self._interruption.close()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.close()
        self._engine.dispose()


class _AsyncConnection:
    """A connection of an async driver, in a separate event loop."""

    def __init__(self, engine: Engine) -> None:
        from sqlalchemy.ext.asyncio import AsyncEngine

        self._engine = AsyncEngine(engine)
        self._connection: AsyncConnection | None = None
        # With a factory, the loop is not set as the current thread's.
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._loop = self._runner.get_loop()
        self._interrupted = asyncio.Event()

    def run(self, work: Callable[[Connection], _T]) -> _T:
        return self._run(lambda connection: connection.run_sync(work))

    def listen(
        self, channel: str, ready: Callable[[], object], take: Callable[[str], object]
    ) -> None:
        async def listen(connection: AsyncConnection) -> None:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            if connection.dialect.driver == "asyncpg":
                lost = asyncio.Event()
                driver.add_termination_listener(lambda _: lost.set())
                await driver.add_listener(channel, lambda *values: take(values[-1]))
                ready()
                await self._unless_interrupted(lost.wait())
            else:
                await connection.exec_driver_sql(_listen(channel, connection.dialect))
                ready()
                await self._unless_interrupted(_take_each(driver, take))
            raise ConnectionError("Connection lost")

        with suppress(_Interrupted):
            self._run(listen)

    def interrupt(self) -> None:
        # The loop is closed with the connection.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._interrupted.set)

    def close(self) -> None:
        with self._runner as runner:
            runner.run(self._disconnect())

    def _run(self, work: Callable[[AsyncConnection], Awaitable[_T]]) -> _T:
        async def run() -> _T:
            try:
                if self._connection is None:
                    # A connector bound to another loop may wait indefinitely.
                    async with asyncio.timeout(_CONNECT_TIMEOUT):
                        self._connection = await self._unless_interrupted(self._connect(), _GRACE)
                return await work(self._connection)
            except BaseException:
                await self._disconnect()
                raise

        return self._runner.run(run())

    async def _connect(self) -> AsyncConnection:
        return await self._engine.connect()

    async def _unless_interrupted(self, waiting: Coroutine[Any, Any, _T], grace: float = 0) -> _T:
        """Return the result of a coroutine; if interrupted, wait `grace` seconds more for it.

        Raises:
            _Interrupted: the coroutine was interrupted before it finished.
        """
        waited = asyncio.ensure_future(waiting)
        tasks = [waited, asyncio.ensure_future(self._interrupted.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait([waited], timeout=grace)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if waited.cancelled():
            raise (
                _Interrupted()
                if self._interrupted.is_set()
                else ConnectionError("Connection attempt cancelled")
            )
        return waited.result()

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                await connection.close()
        await self._engine.dispose()


async def _take_each(driver: Any, take: Callable[[str], object]) -> None:
    async for notification in driver.notifies():
        take(notification.payload)


def _listen(channel: str, dialect: Dialect) -> str:
    return f"LISTEN {dialect.identifier_preparer.quote(channel)}"
