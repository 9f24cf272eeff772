"""Runners of a consumer's loop, in a thread or in an asyncio task.

The loop is a generator that yields operations, and receives their results or errors. So it is
written only once, for sync and async handlers.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import Future
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla.consumers.handler_invocation import call_all, call_all_async
from mdb_sqla.consumers.handler_transaction import HandlerTransaction, interruptions
from mdb_sqla.consumers.loop_operations import Deliver, Handle, OnStandby, Operation, Transact
from mdb_sqla.consumers.messages_in_flight import deliver
from mdb_sqla.consumers.store_engine import engine_of, store_options
from mdb_sqla.database.application_connections import register_application_connection
from mdb_sqla.database.execution import WRITES
from mdb_sqla.database.sessions import session_from
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.message_types import MessageTypes
from mdb_sqla.outbox.unit_of_work import AsyncUnitOfWork, UnitOfWork
from mdb_sqla.words.argument_checks import described

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

__all__ = ["AsyncRunner", "Runner", "run_async"]


_T = TypeVar("_T")
_BIND: dict[str, Any] = {"clause": WRITES}
_OPTIONS = {"isolation_level": "READ COMMITTED"}
_LEAVE_TIMEOUT = 5.0  # seconds that a cancelled task has to leave its group


class Runner:
    """Performs operations in the current thread."""

    def __init__(
        self, factory: sessionmaker[Session], *, types: MessageTypes | None = None
    ) -> None:
        if not isinstance(factory, sessionmaker):
            raise InvalidArgument(f"factory must be a sessionmaker, got {described(factory)}")
        self._factory = factory
        self._types = types
        with session_from(factory, Session, "A sync consumer") as session:
            self.engine = engine_of(session)
        self._read_options = {**_OPTIONS, **store_options(self.engine)}
        # Held until the consumer is woken. A bare lock: a signal handler can release it at any
        # moment, unlike a `threading.Event`, and it supports timeouts of microseconds, with which
        # CPython's `SimpleQueue` can block indefinitely.
        self._asleep = threading.Lock()
        self._asleep.acquire()

    def wake(self) -> None:
        """End a pause; from any thread."""
        # Raised if it is already released.
        with suppress(RuntimeError):
            self._asleep.release()

    def submit(self, work: Callable[[Session], Any]) -> Future[Any]:
        """Call a function in a transaction at READ COMMITTED, in the thread of the caller."""
        done: Future[Any] = Future()
        done.set_result(self._transact(work))
        return done

    def run(self, operations: Generator[Operation, Any, _T]) -> _T:
        """Perform all operations and return the generator's result.

        Errors are thrown into the generator. Operations that it still yields after an interrupt or
        a cancellation are performed.
        """
        with closing(operations):
            try:
                operation = next(operations)
                while True:
                    try:
                        done = self._do(operation)
                    except BaseException as error:
                        # The loop handles it where it yielded the operation.
                        operation = operations.throw(error)
                    else:
                        operation = operations.send(done)
            except StopIteration as end:
                result: _T = end.value
                return result

    def _do(self, operation: Operation) -> Any:
        if isinstance(operation, Transact):
            return self._transact(operation.work)
        if isinstance(operation, OnStandby):
            with interruptions(), operation.engine.connect() as connection:
                return operation.work(connection.execution_options(**self._read_options))
        if isinstance(operation, Handle):
            with UnitOfWork(self._factory, types=self._types) as unit:
                with interruptions():
                    transaction = HandlerTransaction(unit.session, operation.isolation_level)
                with transaction.handlers():
                    call_all(operation, unit, transaction)
                with transaction.end():
                    done = operation.finish(unit.session)
                    unit.commit()
                return done
        assert not isinstance(operation, Deliver)  # noqa: S101 (a consumer refuses to run without a loop)
        if not operation.wakes:
            time.sleep(operation.seconds)  # the server has no event for it
            return False
        return self._asleep.acquire(timeout=operation.seconds)

    def _transact(self, work: Callable[[Session], Any]) -> Any:
        with interruptions(), self._factory() as session:
            register_application_connection(
                session.connection(bind_arguments=_BIND, execution_options=_OPTIONS)
            )
            done = work(session)
            session.commit()
            return done


async def run_async(
    operations: Generator[Operation, Any, _T], do: Callable[[Operation], Awaitable[Any]]
) -> _T:
    """Perform all operations with a function and return the generator's result.

    See `Runner.run`.
    """
    timeout = None
    with closing(operations):
        try:
            operation = next(operations)
            while True:
                try:
                    async with asyncio.timeout(timeout):
                        done = await do(operation)
                except BaseException as error:
                    # As in `Runner.run`.
                    if isinstance(error, asyncio.CancelledError):
                        timeout = _LEAVE_TIMEOUT
                    operation = operations.throw(error)
                else:
                    operation = operations.send(done)
        except StopIteration as end:
            result: _T = end.value
            return result


class AsyncRunner:
    """Performs operations in an asyncio task."""

    def __init__(
        self, factory: async_sessionmaker[AsyncSession], *, types: MessageTypes | None = None
    ) -> None:
        from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

        if not isinstance(factory, async_sessionmaker):
            raise InvalidArgument(
                f"factory must be an async_sessionmaker, got {described(factory)}"
            )
        self._factory = factory
        self._types = types
        session = session_from(factory, AsyncSession, "An async consumer")
        self.engine = engine_of(session.sync_session)
        self._read_options = {**_OPTIONS, **store_options(self.engine)}
        self._woken = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def wake(self) -> None:
        """End a pause; from any thread."""
        # The loop is closed once the consumer has ended.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._woken.set)

    def submit(self, work: Callable[[Session], Any]) -> Future[Any]:
        """Call a function in a transaction at READ COMMITTED, in this loop; from any thread."""
        return asyncio.run_coroutine_threadsafe(self._transact(work), self._loop)

    async def run(self, operations: Generator[Operation, Any, _T]) -> _T:
        """Perform all operations and return the generator's result. See `Runner.run`."""
        return await run_async(operations, self._do)

    async def _do(self, operation: Operation) -> Any:
        if isinstance(operation, Transact):
            return await self._transact(operation.work)
        if isinstance(operation, OnStandby):
            return await self._on_standby(operation)
        if isinstance(operation, Handle):
            async with AsyncUnitOfWork(self._factory, types=self._types) as unit:
                with interruptions():
                    transaction = await unit.session.run_sync(
                        HandlerTransaction, operation.isolation_level
                    )
                with transaction.handlers():
                    await call_all_async(operation, unit, transaction)
                with transaction.end():
                    done = await unit.session.run_sync(operation.finish)
                    await unit.commit()
                return done
        if isinstance(operation, Deliver):
            await deliver(operation)
            return await self._transact(operation.finish)
        if not operation.wakes:
            await asyncio.sleep(operation.seconds)
            return False
        try:
            async with asyncio.timeout(operation.seconds):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        return True

    async def _on_standby(self, operation: OnStandby) -> Any:
        from sqlalchemy.ext.asyncio import AsyncEngine

        with interruptions():
            async with AsyncEngine(operation.engine).connect() as connection:
                await connection.execution_options(**self._read_options)
                return await connection.run_sync(operation.work)

    async def _transact(self, work: Callable[[Session], Any]) -> Any:
        with interruptions():
            async with self._factory() as session:
                connection = await session.connection(
                    bind_arguments=_BIND, execution_options=_OPTIONS
                )
                register_application_connection(connection.sync_connection)
                done = await session.run_sync(work)
                await session.commit()
                return done
