from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Literal

from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla.consumers.consumer_lag import Lag, lag
from mdb_sqla.consumers.consumer_run import ActiveRun
from mdb_sqla.consumers.group import Group
from mdb_sqla.consumers.handler_registration import HandlerRegistration
from mdb_sqla.consumers.retry_policy import RetryPolicy
from mdb_sqla.consumers.runners import AsyncRunner, Runner
from mdb_sqla.consumers.settings import IsolationLevel, OnFailure, Settings
from mdb_sqla.database.execution import Database
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.message_types import MessageTypes
from mdb_sqla.store.read_arguments import DEFAULT_BATCH_SIZE, CategoryFilters
from mdb_sqla.store.standbys import Standbys
from mdb_sqla.words.argument_checks import flag
from mdb_sqla.words.stream_name import StreamName

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
    from typing_extensions import Unpack

__all__ = ["Consumer"]


class Consumer(HandlerRegistration):
    """Handles messages in order, and saves its position in the transaction that handles them.

    A handler receives the message and a unit of work. Its effects (rows, messages, any statement of
    the session) and the consumer's position, its checkpoint, are committed together or not at all:
    in this database, every message takes effect exactly once. Effects elsewhere are at-least-once:
    they can be repeated if the process ends before COMMIT.

        consumer = Consumer("billing", "order")

        @consumer.on("Placed")
        def bill(message, unit):
            unit.session.add(Invoice(total=message.data["total"]))

        consumer.run(sessionmaker(engine))

    Args:
        name: the name under which the position is saved.
        categories: the categories to read, in global order; all if none is given.
        start: the global position to start at on the first run. If a retention policy has deleted
            messages from there on, the consumer stops with `MessagesDeleted`, then and later.
            `"earliest"` starts at the first message that is left, and never stops for deleted ones.
        take_over: the position stream of an Eventide consumer of the same category, such as
            `account:position-billing`. On its first run, the consumer continues from there.
        strict: whether a message of a type without a handler is an error instead of being skipped.
        batch_size: the maximum number of messages to read at a time.
        transaction_size: the maximum number of messages to handle in one transaction.
        max_in_flight: the maximum number of messages to handle concurrently, for handlers with
            effects elsewhere: `async def handler(message)`, without a unit of work. Messages of one
            cardinal id stay in order. The position is saved afterwards; if the process ends before
            that, at most these messages are repeated. Requires `run_async`.
        isolation_level: the isolation level of the handlers' transactions; by default that of the
            engine. With `REPEATABLE READ` or `SERIALIZABLE`, a transaction that conflicts with
            another one is rolled back and retried, which does not count as an attempt.
        retry_policy: how often a handler is called, and with which back-off, before its message
            counts as failed; by default ten attempts within a minute.
        on_failure: what to do when all attempts have failed. `stop` stops the consumer with
            `HandlerFailed`. `dead_letter` adds the message and the later ones of its stream to the
            dead-letter queue, and other streams continue. See `mdb_sqla.admin.dead_letters`.
        poll_interval: the shortest and longest pause between idle polls, in seconds, with back-off.
        group: the consumer group, which shares the work among the processes that run this consumer.
            Without a group, the process that started last takes over all work.
        read_from: standbys to read messages from, in place of the primary server. Handlers still
            work on the primary server.
        types: the message types. With them, handlers can be registered for classes, and their unit
            of work accepts instances of these classes as messages.
        filters: as for `MessageStore.read_category`.

    Raises:
        InvalidArgument: an argument is invalid.
    """

    def __init__(
        self,
        name: str,
        *categories: str,
        start: int | Literal["earliest"] = 1,
        take_over: str | None = None,
        strict: bool = False,
        batch_size: int = DEFAULT_BATCH_SIZE,
        transaction_size: int = 1,
        max_in_flight: int | None = None,
        isolation_level: IsolationLevel | None = None,
        retry_policy: RetryPolicy | None = None,
        on_failure: OnFailure = "stop",
        poll_interval: tuple[float, float] = (0.02, 1.0),
        group: Group | None = None,
        read_from: Standbys | None = None,
        types: MessageTypes | None = None,
        **filters: Unpack[CategoryFilters],
    ) -> None:
        self._settings = Settings.checked(
            name,
            categories,
            start=start,
            take_over=take_over,
            batch_size=batch_size,
            transaction_size=transaction_size,
            max_in_flight=max_in_flight,
            isolation_level=isolation_level,
            retry_policy=retry_policy,
            on_failure=on_failure,
            poll_interval=poll_interval,
            group=group,
            read_from=read_from,
            filters=filters,
        )
        self.name = self._settings.name
        in_flight = max_in_flight is not None
        super().__init__(types, strict=flag("strict", strict), in_flight=in_flight)
        self._running: ActiveRun | None = None

    @property
    def categories(self) -> tuple[StreamName, ...]:
        """The categories to read; empty for all."""
        return self._settings.categories

    @property
    def sharing(self) -> str:
        """How the consumer shares its work with other processes, for display."""
        return self._settings.sharing

    @property
    def state(self) -> Literal["running", "paused", "stopping", "stopped"]:
        """The state in this process.

        `paused` after `pause`, and while the consumer is paused for all processes, with
        `mdb_sqla.admin.pause_consumer`; `stopping` while the current messages are being finished.
        """
        return "stopped" if (run := self._running) is None else run.state

    @property
    def rate(self) -> float:
        """The number of messages handled per second by this process, over the last minute."""
        return 0.0 if (run := self._running) is None else run.rate

    @property
    def standbys(self) -> dict[str, bool]:
        """Whether each standby to read from is available, by its address; empty if there are none.

        A standby becomes unavailable when it can't serve a read, and is available again when it has
        served one.
        """
        read_from = self._settings.read_from
        return {} if read_from is None else read_from.available

    def lag(self, db: Database) -> Lag:
        """Return the consumer's positions and lag. See `mdb_sqla.admin.lag`.

        The consumer need not be running. Before its first run, messages are counted from `start`,
        even with `take_over`. With an `AsyncSession` or an `AsyncConnection`, call
        `await session.run_sync(consumer.lag)`.
        """
        settings = self._settings
        return lag(
            db,
            self.name,
            *settings.categories,
            start=settings.start,
            types=self.handlers.only,
            **settings.filters,
        )

    def run(self, factory: sessionmaker[Session]) -> None:
        """Handle messages until `stop` is called from another thread or from a signal handler.

        Raises:
            InvalidArgument: the consumer has no handlers, or handlers that need `run_async`.
            HandlerFailed: all attempts to handle a message have failed; its transaction was rolled
                back, and all earlier messages were handled.
            NoHandler: the consumer is strict, and a message has no handler.
            SlotLost: a consumer with this name was started in another process.
            ConsumerAhead: the consumer's position is beyond the last message of the store.
            MessagesDeleted: messages that the consumer has not handled were deleted.
        """
        self._run(factory, endless=True)

    def catch_up(self, factory: sessionmaker[Session]) -> None:
        """Handle all existing messages, then return. See `run`.

        Raises:
            ConsumerPaused: the consumer is paused for all processes.
        """
        self._run(factory, endless=False)

    async def run_async(self, factory: async_sessionmaker[AsyncSession]) -> None:
        """Handle messages in a task until `stop` is called. Handlers may be async. See `run`."""
        await self._run_async(factory, endless=True)

    async def catch_up_async(self, factory: async_sessionmaker[AsyncSession]) -> None:
        """Handle all existing messages in a task, then return. See `catch_up`."""
        await self._run_async(factory, endless=False)

    def stop(self) -> None:
        """Shut down gracefully: finish the current messages, save the position, end `run`.

        Can be called from any thread or signal handler. No effect if the consumer is not running.
        """
        if (run := self._running) is not None:
            run.stop()

    def pause(self) -> None:
        """Stop handling messages in this process until `resume`; the consumer keeps its slots.

        To pause it in all processes, call `mdb_sqla.admin.pause_consumer`.
        """
        if (run := self._running) is not None:
            run.pause()

    def resume(self) -> None:
        """Continue after `pause`, unless the consumer is also paused for all processes."""
        if (run := self._running) is not None:
            run.resume()

    def _run(
        self,
        factory: sessionmaker[Session],
        *,
        endless: bool,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        if self._settings.max_in_flight is not None:
            raise InvalidArgument("max_in_flight requires `await consumer.run_async(...)`")
        self.handlers.check_sync()
        self._settings.check_standbys(is_async=False)
        runner = Runner(factory, types=self._types)
        with self._registered(runner, endless, is_stopping) as run:
            runner.run(run.operations())

    async def _run_async(
        self,
        factory: async_sessionmaker[AsyncSession],
        *,
        endless: bool,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        if self._settings.max_in_flight is not None:
            self.handlers.check_async()
        self._settings.check_standbys(is_async=True)
        runner = AsyncRunner(factory, types=self._types)
        async with self._open_resources(factory):
            with self._registered(runner, endless, is_stopping) as run:
                await runner.run(run.operations())

    @asynccontextmanager
    async def _open_resources(
        self, _factory: async_sessionmaker[AsyncSession]
    ) -> AsyncIterator[None]:
        """Keep resources that a subclass's handlers need open while the consumer runs."""
        yield

    @contextmanager
    def _registered(
        self, runner: Runner | AsyncRunner, endless: bool, is_stopping: Callable[[], bool]
    ) -> Iterator[ActiveRun]:
        """Make the run available to `stop`, `pause` and `resume` until it ends."""
        if self._running is not None:
            raise InvalidArgument(f"Consumer {self.name!r} is already running in this process")
        with ActiveRun(self._settings, self.handlers, runner, endless=endless) as run:
            self._running = run
            try:
                if is_stopping():
                    run.stop()
                yield run
            finally:
                self._running = None
