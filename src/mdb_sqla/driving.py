"""What a consumer's loop asks for, and who does it: a thread, or a task of asyncio.

The loop is a generator. It yields what is to be done next, and is sent what came of it or thrown
the error: so it is written once, and handlers may await.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla.delivering import deliver
from mdb_sqla.errors import InvalidArgument, TransactionConflict
from mdb_sqla.execution import WRITES, connection_of, is_autocommit
from mdb_sqla.handling import Handler, is_async
from mdb_sqla.message import StoredMessage
from mdb_sqla.notifying import STORE_OPTIONS
from mdb_sqla.refusals import is_conflict, is_lost_connection
from mdb_sqla.steps import CutOff, Deliver, Handle, Interrupted, Step, Transact
from mdb_sqla.unit_of_work import AsyncUnitOfWork, UnitOfWork

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

__all__ = ["AsyncDriver", "Driver"]


# Types can't tell which kind a handler is, but the consumer can: hence those that are ignored.

_T = TypeVar("_T")
_BIND: dict[str, Any] = {"clause": WRITES}
_OPTIONS = {"isolation_level": "READ COMMITTED"}


class Driver:
    """Does the steps in this thread."""

    def __init__(self, factory: sessionmaker[Session]) -> None:
        if not isinstance(factory, sessionmaker):
            raise InvalidArgument(f"A consumer runs with a sessionmaker: {factory!r}")
        self._factory = factory
        with factory() as session:
            self.engine = _engine_of(session)
        # Unlike an event of `threading`, it can be put into by a handler of a signal at any moment.
        self._woken: SimpleQueue[None] = SimpleQueue()

    def wake(self) -> None:
        """End a pause; from any thread."""
        # A consumer that always has something to handle never takes them out.
        if self._woken.empty():
            self._woken.put(None)

    def run(self, steps: Generator[Step, Any, _T]) -> _T:
        """Do all steps and return what comes of them; an error that they don't expect is raised."""
        with closing(steps):
            try:
                step = next(steps)
                while True:
                    try:
                        done = self._do(step)
                    except Exception as error:
                        # What becomes of it is for the loop to decide, where it asked for the step.
                        step = steps.throw(error)
                    else:
                        step = steps.send(done)
            except StopIteration as end:
                result: _T = end.value
                return result

    def _do(self, step: Step) -> Any:
        if isinstance(step, Transact):
            return self._transact(step.work)
        if isinstance(step, Handle):
            with UnitOfWork(self._factory) as unit:
                with _interruptions():
                    transaction = _Transaction(unit.session)
                with transaction.cut_off():
                    for handler, message in step.calls:
                        step.current = message
                        _refuse_awaitable(handler, handler(message, unit))  # type: ignore[arg-type, call-arg]
                        transaction.check()
                    done = step.finish(unit.session)
                    unit.commit()
                return done
        assert not isinstance(step, Deliver)  # noqa: S101 (a consumer refuses to run without a loop)
        try:
            self._woken.get(timeout=step.seconds)
        except Empty:
            return False
        with suppress(Empty):
            while True:
                self._woken.get_nowait()
        return True

    def _transact(self, work: Callable[[Session], Any]) -> Any:
        with _interruptions(), self._factory() as session:
            session.connection(bind_arguments=_BIND, execution_options=_OPTIONS)
            done = work(session)
            session.commit()
            return done


class AsyncDriver:
    """Does the steps in a task."""

    def __init__(self, factory: async_sessionmaker[AsyncSession]) -> None:
        from sqlalchemy.ext.asyncio import async_sessionmaker

        if not isinstance(factory, async_sessionmaker):
            raise InvalidArgument(f"An async consumer runs with an async_sessionmaker: {factory!r}")
        self._factory = factory
        self.engine = _engine_of(factory().sync_session)
        self._woken = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def wake(self) -> None:
        """End a pause; from any thread."""
        # The loop is closed where the consumer has ended.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._woken.set)

    async def run(self, steps: Generator[Step, Any, _T]) -> _T:
        """Do all steps and return what comes of them. See `Driver.run`."""
        with closing(steps):
            try:
                step = next(steps)
                while True:
                    try:
                        done = await self._do(step)
                    except Exception as error:
                        # As in `Driver.run`.
                        step = steps.throw(error)
                    else:
                        step = steps.send(done)
            except StopIteration as end:
                result: _T = end.value
                return result

    async def _do(self, step: Step) -> Any:
        if isinstance(step, Transact):
            return await self._transact(step.work)
        if isinstance(step, Handle):
            async with AsyncUnitOfWork(self._factory) as unit:
                with _interruptions():
                    transaction = await unit.session.run_sync(_Transaction)
                with transaction.cut_off():
                    for handler, message in step.calls:
                        step.current = message
                        await _call(handler, message, unit)
                        transaction.check()
                    done = await unit.session.run_sync(step.finish)
                    await unit.commit()
                return done
        if isinstance(step, Deliver):
            await deliver(step)
            return await self._transact(step.finish)
        try:
            async with asyncio.timeout(step.seconds):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        return True

    async def _transact(self, work: Callable[[Session], Any]) -> Any:
        with _interruptions():
            async with self._factory() as session:
                await session.connection(bind_arguments=_BIND, execution_options=_OPTIONS)
                done = await session.run_sync(work)
                await session.commit()
                return done


def _engine_of(session: Session) -> Engine:
    """Return the engine for writes, with what the session or its connection says of the store."""
    bind = session.get_bind(clause=WRITES)
    # Sessions have options since SQLAlchemy 2.1.
    options = {
        **bind.get_execution_options(),
        **(getattr(session, "execution_options", None) or {}),
    }
    return bind.engine.execution_options(
        **{name: options[name] for name in STORE_OPTIONS if name in options}
    )


class _Transaction:
    """The transaction that handlers and the consumer's position share.

    Raises:
        InvalidArgument: the session has no transactions.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._connection = connection_of(session)
        self._transaction = session.get_transaction()
        if is_autocommit(self._connection):
            raise InvalidArgument(
                "The isolation level is AUTOCOMMIT: a handler's effects and the consumer's "
                "position need a transaction that they share"
            )

    def check(self) -> None:
        """Check that it is still the same.

        Raises:
            InvalidArgument: a handler has ended it.
        """
        if self._session.get_transaction() is not self._transaction:
            raise InvalidArgument(
                "A handler must leave the transaction open: the consumer's position belongs to it"
            )

    @contextmanager
    def cut_off(self) -> Iterator[None]:
        """Tell the loss of this connection from other errors of a handler's."""
        try:
            yield
        except Exception as error:
            # Whatever the handler has made of it, the lost connection is what is behind it.
            if self._connection.invalidated:
                raise CutOff(str(error)) from error
            raise


@contextmanager
def _interruptions() -> Iterator[None]:
    """Tell what will pass from what is wrong, where no handler is called."""
    try:
        yield
    except DBAPIError as error:
        if is_lost_connection(error) or is_conflict(error):
            raise Interrupted(str(error)) from error
        raise
    except (OSError, PoolTimeout, TransactionConflict) as error:
        # asyncpg's own where it can't connect, and the pool's where others use all of it.
        raise Interrupted(str(error)) from error


async def _call(handler: Handler, message: StoredMessage, unit: AsyncUnitOfWork) -> None:
    if is_async(handler):
        await handler(message, unit)  # type: ignore[arg-type, call-arg]
        return

    def call(session: Session) -> None:
        _refuse_awaitable(handler, handler(message, UnitOfWork.of(session)))  # type: ignore[arg-type, call-arg]

    # A sync handler gets the sync session of this very transaction.
    await unit.session.run_sync(call)


def _refuse_awaitable(handler: Handler, answer: object) -> None:
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise InvalidArgument(
            f"A handler that has to be awaited must be declared with `async def`, and needs "
            f"`await consumer.run_async(...)`: {handler!r}"
        )
