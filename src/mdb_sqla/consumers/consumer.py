from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Literal, TypeVar

from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla.consumers.active_run import ActiveRun
from mdb_sqla.consumers.consumer_lag import Lag, lag
from mdb_sqla.consumers.group import Group
from mdb_sqla.consumers.handlers import Handler, Handlers
from mdb_sqla.consumers.retry_policy import RetryPolicy
from mdb_sqla.consumers.runners import AsyncRunner, Runner
from mdb_sqla.consumers.settings import IsolationLevel, OnFailure, Settings
from mdb_sqla.database.execution import Database
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.store.read_arguments import DEFAULT_BATCH_SIZE, CategoryFilters
from mdb_sqla.words.argument_checks import flag
from mdb_sqla.words.stream_name import StreamName

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
    from typing_extensions import Unpack

__all__ = ["Consumer"]

_H = TypeVar("_H", bound=Handler)


class Consumer:
    """Handles messages in order, and keeps its position in the transaction that handles them.

    A handler gets the message and a unit of work. What it does with that (rows, messages, whatever
    the session executes) is committed together with the consumer's position, or not at all: in this
    database every message has its effects exactly once. Effects elsewhere can be repeated, if the
    process ends before COMMIT.

        consumer = Consumer("billing", "order")

        @consumer.on("Placed")
        def bill(message, unit):
            unit.session.add(Invoice(total=message.data["total"]))

        consumer.run(sessionmaker(engine))

    Args:
        name: under which its position is kept; a consumer by another name starts afresh.
        categories: what it reads, in global order; none of them means all there are.
        start: the global position that it begins with when it runs for the first time.
        take_over: the position stream of an Eventide consumer of the same category, such as
            `account:position-billing`, to go on from when it runs for the first time.
        strict: whether a message of a type without a handler is an error.
        batch_size: how many messages are read at a time.
        transaction_size: how many messages at most are handled in one transaction.
        max_in_flight: for handlers with effects elsewhere, `async def handler(message)`: they get
            no unit of work, and up to so many run concurrently, those of one cardinal id one after
            another. Then the position is saved, so that at most these are repeated if the process
            ends before. Only with `run_async`.
        isolation_level: of the transactions that messages are handled in; the engine's own, if
            nothing is said. With `REPEATABLE READ` or `SERIALIZABLE`, what conflicts with another
            transaction is rolled back and handled again, without counting as an attempt.
        retry_policy: how often a handler is called before its message counts as failed; ten times
            within a minute, if nothing is said.
        on_failure: what becomes of a message whose handler has failed for good: `stop` stops the
            consumer with `HandlerFailed`; with `dead_letter` the message becomes a dead letter,
            with the later ones of its stream, and the other streams continue. See
            `mdb_sqla.admin.dead_letters`.
        poll_interval: the shortest and the longest time, in seconds, after which it looks for
            messages again where there were none; it doubles in between.
        group: shares the work with other processes that run this consumer; without it, the one that
            was started last has all of it.
        filters: as for `MessageStore.read_category`: correlation, consumer group, condition.

    Raises:
        InvalidArgument: an argument breaks its rule.
    """

    def __init__(
        self,
        name: str,
        *categories: str,
        start: int = 1,
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
            filters=filters,
        )
        self.name = self._settings.name
        self.handlers = Handlers(strict=flag("strict", strict))
        self._running: ActiveRun | None = None

    @property
    def categories(self) -> tuple[StreamName, ...]:
        """What it reads; nothing stands for all categories."""
        return self._settings.categories

    @property
    def sharing(self) -> str:
        """How it shares its work with others of its name, in words."""
        return self._settings.sharing

    @property
    def state(self) -> Literal["running", "paused", "stopping", "stopped"]:
        """What it is doing in this process; `stopping` is finishing what is in hand."""
        return "stopped" if (run := self._running) is None else run.state

    @property
    def rate(self) -> float:
        """How many messages it has handled in a second, over the last minute, in this process."""
        return 0.0 if (run := self._running) is None else run.rate

    def lag(self, db: Database) -> Lag:
        """Return how far it is, and what lies before it; see `mdb_sqla.admin.lag`. It need not run.

        Before it first runs, messages are counted from `start`, also where it is to take over.
        With an `AsyncSession` or `AsyncConnection`: `await session.run_sync(consumer.lag)`.
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

    def on(self, *types: str) -> Callable[[_H], _H]:
        """Have the function below handle messages of these types, or, without a type, all others.

        Raises:
            InvalidArgument: a type is no string, or has a handler already.
        """
        return self.handlers.on(*types)

    def run(self, factory: sessionmaker[Session]) -> None:
        """Handle messages until `stop` is called from another thread or from a signal handler.

        Raises:
            InvalidArgument: the consumer has no handlers, or can't run with them like this.
            HandlerFailed: a handler has failed for good; its transaction is rolled back, and all
                before it is done.
            NoHandler: the consumer is strict, and there is a message that it can't handle.
            SlotLost: a consumer by this name was started elsewhere.
            ConsumerAhead: its position is beyond all that was written to the store.
        """
        self._run(factory, endless=True)

    def catch_up(self, factory: sessionmaker[Session]) -> None:
        """Handle what there is, and return. See `run`."""
        self._run(factory, endless=False)

    async def run_async(self, factory: async_sessionmaker[AsyncSession]) -> None:
        """Handle messages in a task, until `stop` is called. Handlers may be async. See `run`."""
        await self._run_async(factory, endless=True)

    async def catch_up_async(self, factory: async_sessionmaker[AsyncSession]) -> None:
        """Handle what there is, in a task, and return. See `run`."""
        await self._run_async(factory, endless=False)

    def stop(self) -> None:
        """Finish what is in hand, save the position, and return from `run`.

        From any thread or signal handler; without effect where the consumer is not running.
        """
        if (run := self._running) is not None:
            run.stop()

    def pause(self) -> None:
        """Have the consumer handle nothing more until `resume`; it keeps what it holds."""
        if (run := self._running) is not None:
            run.pause()

    def resume(self) -> None:
        """Have the consumer go on after `pause`."""
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
            raise InvalidArgument("Messages in flight need `await consumer.run_async(...)`")
        self.handlers.refuse_async()
        driver = Runner(factory)
        with self._registered(driver, endless, is_stopping) as run:
            driver.run(run.steps())

    async def _run_async(
        self,
        factory: async_sessionmaker[AsyncSession],
        *,
        endless: bool,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        if self._settings.max_in_flight is not None:
            self.handlers.refuse_sync()
        driver = AsyncRunner(factory)
        async with self._prepared(factory):
            with self._registered(driver, endless, is_stopping) as run:
                await driver.run(run.steps())

    @asynccontextmanager
    async def _prepared(self, _factory: async_sessionmaker[AsyncSession]) -> AsyncIterator[None]:
        """Hold what handlers need for as long as they are called; that of a kind of consumer."""
        yield

    @contextmanager
    def _registered(
        self, driver: Runner | AsyncRunner, endless: bool, is_stopping: Callable[[], bool]
    ) -> Iterator[ActiveRun]:
        """Have `stop` and its like reach a run, for as long as it lasts."""
        if self._running is not None:
            raise InvalidArgument(f"Consumer {self.name!r} is running already in this process")
        with ActiveRun(self._settings, self.handlers, driver, endless=endless) as run:
            self._running = run
            try:
                if is_stopping():
                    run.stop()
                yield run
            finally:
                self._running = None
