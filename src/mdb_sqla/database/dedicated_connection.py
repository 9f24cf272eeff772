"""A connection beside an application's pool, for a thread of ours."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from selectors import EVENT_READ, DefaultSelector
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sqlalchemy import Connection, Dialect, Engine, create_engine

from mdb_sqla.database.application_connections import keep_apart

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["OwnConnection", "beside", "can_listen", "own_connection"]

_T = TypeVar("_T")

_PATIENCE = 10.0  # seconds until a connection has to be there
_GRACE = 0.5  # seconds for it to be there after all, for drivers leave open what is cancelled


class _Interrupted(Exception):
    """The connection is not needed any more."""


class OwnConnection(Protocol):
    """Opened when it is first used, and again after an error.

    All but `interrupt` is for one thread.
    """

    def run(self, work: Callable[[Connection], _T]) -> _T:
        """Call a function with the connection."""

    def listen(
        self, channel: str, ready: Callable[[], object], take: Callable[[str], object]
    ) -> None:
        """Receive notifications until it is interrupted.

        Args:
            channel: what to listen on.
            ready: is called once it listens.
            take: is called with the payload of each notification.
        """

    def interrupt(self) -> None:
        """Have `listen` return, now and whenever it is called, and an attempt to connect fail.

        From any thread. An attempt that does not leave its thread is not ended.
        """

    def close(self) -> None:
        """Close the connection, for good."""


def beside(engine: Engine) -> Engine:
    """Return an engine that connects as another does, with a pool of its own.

    The other must have connected before, or two threads initialize its dialect at a time. It is
    kept alive: listeners of its pool, SQLAlchemy's own among them, refer to it. Each statement is a
    transaction. Where its connections are the application's own after all, it fails to connect.
    """
    pool = engine.pool.recreate()
    keep_apart(pool, engine.dialect)
    options: dict[str, Any] = {
        "pool": pool,
        "execution_options": {
            **engine.get_execution_options(),
            "isolation_level": "AUTOCOMMIT",
            # A cursor on the server needs a transaction.
            "stream_results": False,
            "yield_per": None,
        },
    }
    if not engine.dialect.is_async:
        return create_engine(engine.url, **options)
    from sqlalchemy.ext.asyncio import create_async_engine

    return create_async_engine(engine.url, **options).sync_engine


def own_connection(engine: Engine) -> OwnConnection:
    """Return a connection for one thread over an engine that nobody else uses; see `beside`."""
    return _AsyncConnection(engine) if engine.dialect.is_async else _SyncConnection(engine)


def can_listen(engine: Engine) -> bool:
    """Whether notifications are received with the engine's driver."""
    return engine.dialect.driver in {"psycopg", "asyncpg"}


class _SyncConnection:
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
    """In an event loop of its own, so that the application's may be held up or closed."""

    def __init__(self, engine: Engine) -> None:
        from sqlalchemy.ext.asyncio import AsyncEngine

        self._engine = AsyncEngine(engine)
        self._connection: AsyncConnection | None = None
        # By a factory: the loop is not to become that of the thread that is here now.
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
            raise ConnectionError("The connection was lost")

        with suppress(_Interrupted):
            self._run(listen)

    def interrupt(self) -> None:
        # The loop is closed where the connection is.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._interrupted.set)

    def close(self) -> None:
        with self._runner as runner:
            runner.run(self._disconnect())

    def _run(self, work: Callable[[AsyncConnection], Awaitable[_T]]) -> _T:
        async def run() -> _T:
            try:
                if self._connection is None:
                    # A connector that is bound to another loop may wait for that indefinitely.
                    async with asyncio.timeout(_PATIENCE):
                        self._connection = await self._unless_interrupted(self._connect(), _GRACE)
                return await work(self._connection)
            except BaseException:
                await self._disconnect()
                raise

        return self._runner.run(run())

    async def _connect(self) -> AsyncConnection:
        return await self._engine.connect()

    async def _unless_interrupted(self, waiting: Coroutine[Any, Any, _T], grace: float = 0) -> _T:
        """Return what comes of waiting, for some seconds more where it is interrupted.

        Raises:
            _Interrupted: it was interrupted first.
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
                else ConnectionError("Connecting was cancelled")
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
