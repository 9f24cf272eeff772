from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla.consumers.consumer import Consumer
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.host.execution import Execution, is_async
from mdb_sqla.host.health_endpoint import serve_health
from mdb_sqla.host.host_gauges import observed
from mdb_sqla.host.http_server import parse_address
from mdb_sqla.host.lag_collection import (
    TIMEOUT,
    LagQuery,
    LagReport,
    query_in_loop,
    query_in_thread,
    report_of,
    wait_for_report,
)
from mdb_sqla.host.process_signals import exit_immediately, handle_signals
from mdb_sqla.host.retention_task import RetentionTask
from mdb_sqla.host.status import HostStatus
from mdb_sqla.log_event import log_event
from mdb_sqla.metrics.background_query import QueryCache
from mdb_sqla.words.argument_checks import described, instance, seconds

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

__all__ = ["Host"]

_log = logging.getLogger("mdb_sqla.host")


class Host:
    """Runs consumers in one process, until it is stopped or one of them fails.

    Each consumer runs in a thread with a `sessionmaker`, and in a task with an
    `async_sessionmaker`.

    | signal | effect |
    |---|---|
    | SIGINT, SIGTERM | graceful shutdown: the consumers finish their messages, and `run` returns |
    | second SIGINT | the process exits immediately, with status 130 |
    | SIGTSTP | the consumers finish their messages, then pause |
    | SIGCONT | the consumers resume |

    Args:
        factory: creates the consumers' sessions.
        consumers: the consumers to run.
        on_error: called with each consumer that fails, and its error.
        http: the address of the endpoints `/health` and `/metrics`: a port on the loopback
            interface, or `host:port`. Requires the extra `http`, and for metrics the extra
            `metrics`. Port 0 picks a free port, which is logged.
        retention_interval: how often to run the retention job, in seconds; None for never. The
            factory must connect as the owner of the store. The first run waits until all consumers
            of the host have started. An error is logged, and the job runs again after the interval.

    Raises:
        InvalidArgument: the factory or a consumer has the wrong type, there is no consumer, two
            consumers have the same name, or `http` is not an address.
    """

    def __init__(
        self,
        factory: sessionmaker[Session] | async_sessionmaker[AsyncSession],
        *consumers: Consumer,
        on_error: Callable[[Consumer, Exception], object] | None = None,
        http: int | str | None = None,
        retention_interval: float | None = None,
    ) -> None:
        if not isinstance(factory, sessionmaker) and not is_async(factory):
            raise InvalidArgument(
                f"factory must be a sessionmaker or an async_sessionmaker, got {described(factory)}"
            )
        names = [instance("consumer", each, Consumer).name for each in consumers]
        if not names:
            raise InvalidArgument("A host needs at least one consumer, got none")
        if len(set(names)) < len(names):
            raise InvalidArgument(f"consumers must have unique names, got {names}")
        self.factory = factory
        self.consumers = consumers
        self._on_error = on_error
        self._http = None if http is None else parse_address(http)
        self._retention_interval = (
            None
            if retention_interval is None
            else seconds("retention_interval", retention_interval)
        )
        self._retention: RetentionTask | None = None
        self._stopping = False
        self._errors: dict[str, Exception] = {}

    def run(
        self,
        *,
        http: int | str | None = None,
        on_start: Callable[[HostStatus], object] | None = None,
    ) -> None:
        """Run the consumers. Must be called from the main thread, which receives the signals.

        Args:
            http: overrides the address passed to the host.
            on_start: called with the status before the consumers start.

        Raises:
            ExceptionGroup: the consumers' errors, after all consumers have stopped.
            HttpUnavailable: the address is in use, or the extra `http` is not installed.
            InvalidArgument: `http` is not an address, or a consumer has no handlers.
        """
        for consumer in self.consumers:
            consumer.handlers.check_any(consumer.name)
        address = self._http if http is None else parse_address(http)
        self._stopping = False
        self._errors = {}
        names = [consumer.name for consumer in self.consumers]
        if self._retention_interval is not None:
            self._retention = RetentionTask(self._retention_interval, names)
        handlers = handle_signals(
            interrupt=self._interrupt,
            terminate=self.stop,
            suspend=lambda: self._each(Consumer.pause),
            resume=lambda: self._each(Consumer.resume),
        )
        execution = Execution(self.consumers, self._retention, self._is_stopping, self._failed)
        with handlers:
            log_event(
                _log,
                logging.INFO,
                "host.started",
                "Starting consumers %s",
                ", ".join(names),
                consumers=names,
            )
            if isinstance(self.factory, sessionmaker):
                with self._observed(address, query_in_thread(self.factory, self.consumers)):
                    if on_start is not None:
                        on_start(self.status())
                    execution.run(self.factory)
            else:
                with asyncio.Runner() as runner:
                    query = query_in_loop(runner.get_loop(), self.factory, self.consumers)
                    with self._observed(address, query):
                        if on_start is not None:
                            on_start(runner.run(self.status_async()))
                        runner.run(execution.run_async(self.factory))
        log_event(_log, logging.INFO, "host.stopped", "The host has stopped")
        if self._errors:
            raise ExceptionGroup("Consumers have failed", list(self._errors.values()))

    def status(self) -> HostStatus:
        """Return the consumers' states and lags.

        Can be called from any thread, even before `run`. If the database fails or does not answer
        within five seconds, the status has a `problem`.

        Raises:
            InvalidArgument: the host has an `async_sessionmaker`.
        """
        if not isinstance(self.factory, sessionmaker):
            raise InvalidArgument("Use status_async() for a host with an async_sessionmaker")
        report = query_in_thread(self.factory, self.consumers)()
        wait([report], TIMEOUT)
        return self._status(report_of(report))

    async def status_async(self) -> HostStatus:
        """Return the consumers' states and lags, for a host with an `async_sessionmaker`.

        Must be called in the event loop to which the factory's connections belong. See `status`.

        Raises:
            InvalidArgument: the host has a `sessionmaker`.
        """
        if isinstance(self.factory, sessionmaker):
            raise InvalidArgument("Use status() for a host with a sessionmaker")
        loop = asyncio.get_running_loop()
        report = query_in_loop(loop, self.factory, self.consumers)()
        return self._status(await wait_for_report(report, TIMEOUT))

    def _status(self, report: LagReport) -> HostStatus:
        return HostStatus.of(self.consumers, report, self._errors)

    def stop(self) -> None:
        """Shut down gracefully: the consumers finish their current messages, and `run` returns.

        Can be called from any thread.
        """
        self._stopping = True
        if self._retention is not None:
            self._retention.stop()
        for consumer in self.consumers:
            consumer.stop()

    @contextmanager
    def _observed(self, address: tuple[str, int] | None, query: LagQuery) -> Iterator[None]:
        """Observe the status of the host over HTTP and by OpenTelemetry, while it runs."""
        lags = QueryCache(query)

        def status() -> HostStatus:
            return self._status(report_of(lags.get()))

        with observed(status, is_served=address is not None):
            if address is None:
                yield
            else:
                with serve_health(address, lags, self._status):
                    yield

    def _is_stopping(self) -> bool:
        return self._stopping

    def _failed(self, consumer: Consumer, caught: BaseException) -> None:
        error = caught
        if not isinstance(error, Exception):
            # An error that would end the process or a task has ended only the consumer.
            error = RuntimeError(f"Consumer {consumer.name!r} was terminated by {caught!r}")
            error.__cause__ = caught
        log_event(
            _log,
            logging.ERROR,
            "consumer.failed",
            "Consumer %s failed; stopping the others",
            consumer.name,
            error=error,
            consumer=consumer.name,
        )
        self._errors[consumer.name] = error
        self.stop()
        if self._on_error is not None:
            self._on_error(consumer, error)

    def _interrupt(self) -> None:
        if self._stopping:
            exit_immediately()
        self.stop()

    def _each(self, what: Callable[[Consumer], None]) -> None:
        for consumer in self.consumers:
            what(consumer)
