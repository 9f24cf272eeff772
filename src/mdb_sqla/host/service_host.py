from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import wait
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla.consumers.consumer import Consumer
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.host.health_endpoint import parsed_address, serving
from mdb_sqla.host.lag_query import (
    PATIENCE,
    Lags,
    Question,
    answer_of,
    answered,
    question,
    question_in,
)
from mdb_sqla.host.process_signals import end_at_once, handled
from mdb_sqla.host.status import ConsumerStatus, HostStatus
from mdb_sqla.words.argument_checks import described, instance

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

__all__ = ["Host"]

_log = logging.getLogger("mdb_sqla.host")


class Host:
    """Runs consumers in one process, until it is told to stop or one of them fails.

    With a `sessionmaker` each consumer has a thread, with an `async_sessionmaker` each has a task.

    | signal | what it does |
    |---|---|
    | SIGINT, SIGTERM | the consumers finish what is in hand, and `run` returns |
    | SIGINT again | the process ends at once, with status 130 |
    | SIGTSTP | the consumers pause after what is in hand |
    | SIGCONT | they go on |

    Args:
        factory: what the consumers' sessions are made with.
        consumers: what to run.
        on_error: is called with a consumer and the error that has ended it, to record it.
        http: where to tell a supervisor over HTTP how the consumers are, below `/health`: a port of
            the loopback interface, or `host:port`; needs the extra `http`. Port 0 is a free one,
            which is logged.

    Raises:
        InvalidArgument: the factory is none, there is no consumer, something else is in its place,
            two have one name, or `http` is no address.
    """

    def __init__(
        self,
        factory: sessionmaker[Session] | async_sessionmaker[AsyncSession],
        *consumers: Consumer,
        on_error: Callable[[Consumer, Exception], object] | None = None,
        http: int | str | None = None,
    ) -> None:
        if not isinstance(factory, sessionmaker) and not _is_async(factory):
            raise InvalidArgument(
                f"A host needs a sessionmaker or an async_sessionmaker: {described(factory)}"
            )
        names = [instance("What a host runs", each, Consumer).name for each in consumers]
        if not names:
            raise InvalidArgument("A host needs a consumer")
        if len(set(names)) < len(names):
            raise InvalidArgument(f"Each consumer of a host needs a name of its own: {names}")
        self.factory = factory
        self.consumers = consumers
        self._on_error = on_error
        self._http = None if http is None else parsed_address(http)
        self._stopping = False
        self._errors: dict[str, Exception] = {}

    def run(
        self,
        *,
        http: int | str | None = None,
        on_start: Callable[[HostStatus], object] | None = None,
    ) -> None:
        """Run the consumers; from the main thread, which gets the signals.

        Args:
            http: another address than the host's own.
            on_start: is called with the status before the consumers start, to report it.

        Raises:
            ExceptionGroup: the errors of consumers, after all of them have stopped.
            HttpUnavailable: the address is in use, or the extra `http` is not installed.
            InvalidArgument: `http` is no address, or a consumer has no handlers.
        """
        for consumer in self.consumers:
            consumer.handlers.refuse_none(consumer.name)
        address = self._http if http is None else parsed_address(http)
        self._stopping = False
        self._errors = {}
        handlers = handled(
            interrupt=self._interrupt,
            terminate=self.stop,
            suspend=lambda: self._each(Consumer.pause),
            resume=lambda: self._each(Consumer.resume),
        )
        with handlers:
            if isinstance(self.factory, sessionmaker):
                with self._serving(address, question(self.factory, self.consumers)):
                    if on_start is not None:
                        on_start(self.status())
                    self._run_threads(self.factory)
            else:
                with asyncio.Runner() as runner:
                    ask = question_in(runner.get_loop(), self.factory, self.consumers)
                    with self._serving(address, ask):
                        if on_start is not None:
                            on_start(runner.run(self.status_async()))
                        runner.run(self._run_tasks(self.factory))
        if self._errors:
            raise ExceptionGroup("Consumers have failed", list(self._errors.values()))

    def status(self) -> HostStatus:
        """Return what the consumers do and how far they are; from any thread, also before `run`.

        Where the database has not answered for five seconds, or has trouble, the status tells so.

        Raises:
            InvalidArgument: the host has an `async_sessionmaker`.
        """
        if not isinstance(self.factory, sessionmaker):
            raise InvalidArgument("A host with an async_sessionmaker needs status_async()")
        answer = question(self.factory, self.consumers)()
        wait([answer], PATIENCE)
        return self._status(answer_of(answer))

    async def status_async(self) -> HostStatus:
        """Do the same with an `async_sessionmaker`, in the loop that its connections belong to.

        Raises:
            InvalidArgument: the host has a `sessionmaker`.
        """
        if isinstance(self.factory, sessionmaker):
            raise InvalidArgument("A host with a sessionmaker needs status()")
        loop = asyncio.get_running_loop()
        answer = question_in(loop, self.factory, self.consumers)()
        return self._status(await answered(answer, PATIENCE))

    def _status(self, lags: Lags) -> HostStatus:
        nothing: list[None] = [None] * len(self.consumers)
        of_consumers = zip(self.consumers, lags.lags or nothing, strict=True)
        return HostStatus(
            consumers=tuple(
                ConsumerStatus.of(consumer, lag, self._errors.get(consumer.name))
                for consumer, lag in of_consumers
            ),
            problem=lags.problem,
        )

    def _serving(
        self, address: tuple[str, int] | None, ask: Question
    ) -> AbstractContextManager[None]:
        return nullcontext() if address is None else serving(address, ask, self._status)

    def stop(self) -> None:
        """Have all consumers finish what is in hand, and `run` return; from any thread."""
        self._stopping = True
        for consumer in self.consumers:
            consumer.stop()

    def _run_threads(self, factory: sessionmaker[Session]) -> None:
        def run(consumer: Consumer) -> None:
            try:
                consumer._run(factory, endless=True, is_stopping=self._is_stopping)
            except BaseException as error:
                self._failed(consumer, error)

        threads = [
            threading.Thread(target=run, args=(consumer,), name=f"consumer {consumer.name}")
            for consumer in self.consumers
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            # With a time-out, for a signal is not handled while a thread waits without one.
            while thread.is_alive():
                thread.join(0.5)

    async def _run_tasks(self, factory: async_sessionmaker[AsyncSession]) -> None:
        async def run(consumer: Consumer) -> None:
            try:
                await consumer._run_async(factory, endless=True, is_stopping=self._is_stopping)
            except BaseException as error:
                self._failed(consumer, error)

        async with asyncio.TaskGroup() as tasks:
            for consumer in self.consumers:
                tasks.create_task(run(consumer))

    def _is_stopping(self) -> bool:
        return self._stopping

    def _failed(self, consumer: Consumer, caught: BaseException) -> None:
        error = caught
        if not isinstance(error, Exception):
            # What would end this process, or a task, has ended the consumer only.
            error = RuntimeError(f"Consumer {consumer.name!r} was ended by {caught!r}")
            error.__cause__ = caught
        _log.error(
            "Consumer %s has failed; the others stop",
            consumer.name,
            exc_info=error,
            extra={"consumer": consumer.name},
        )
        self._errors[consumer.name] = error
        self.stop()
        if self._on_error is not None:
            self._on_error(consumer, error)

    def _interrupt(self) -> None:
        if self._stopping:
            end_at_once()
        self.stop()

    def _each(self, what: Callable[[Consumer], None]) -> None:
        for consumer in self.consumers:
            what(consumer)


def _is_async(factory: object) -> bool:
    try:
        from sqlalchemy.ext.asyncio import async_sessionmaker
    except ImportError:  # without greenlet there is none
        return False
    return isinstance(factory, async_sessionmaker)
