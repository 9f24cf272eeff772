"""Consumers that run until none of them has anything left to do, without a pause: for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla.consumers.consumer import Consumer
from mdb_sqla.consumers.loop import Consumption
from mdb_sqla.consumers.operations import Deliver, Handle, Interrupted, Step, Steps
from mdb_sqla.consumers.runners import AsyncRunner, Runner
from mdb_sqla.consumers.settings import Settings
from mdb_sqla.errors import InvalidArgument, MessageStoreError, Unavailable
from mdb_sqla.words.argument_checks import instance, integer

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

__all__ = ["NotCaughtUp", "catch_up", "catch_up_async"]

_LIMIT = 1000  # calls of handlers
_INTERRUPTIONS = 20  # more of them than a test brings about: the server is not there
_AT_ONCE = 1e-9  # seconds


class NotCaughtUp(MessageStoreError):
    """Handlers were called as often as the limit allows, and there was still something to handle.

    Consumers whose handlers write what they read, or what another reads, may go on for ever.
    """


def catch_up(factory: sessionmaker[Session], *consumers: Consumer, limit: int = _LIMIT) -> None:
    """Run consumers, one after the other and again, until none of them has anything left to do.

    So everything is handled also where their handlers write what another of them reads. Nothing
    waits: a handler that fails is called again at once, as often as its consumer's `RetryPolicy`
    says.
    What is not committed can't be handled, and is not waited for.

    Args:
        factory: as for `Consumer.run`.
        consumers: those of a host are `*host.consumers`.
        limit: how many calls of handlers there may be, of all consumers together.

    Raises:
        NotCaughtUp: the limit is reached, and they still go on.
        HandlerFailed: a handler has failed for good. See `Consumer.run` for other errors.
        DBAPIError, OSError: the server can't be reached; it is the driver's error.
        InvalidArgument: there is no consumer, or one of them has an async handler.
    """
    for consumer in consumers:
        instance("What is run", consumer, Consumer).handlers.refuse_async()
    for _, steps in _runs(consumers, limit):
        Runner(factory).run(steps)


async def catch_up_async(
    factory: async_sessionmaker[AsyncSession], *consumers: Consumer, limit: int = _LIMIT
) -> None:
    """Do the same in a task; handlers may be async. See `catch_up`."""
    for consumer, steps in _runs(consumers, limit):
        async with consumer._prepared(factory):
            await AsyncRunner(factory).run(steps)


def _runs(consumers: tuple[Consumer, ...], limit: int) -> Iterator[tuple[Consumer, Steps]]:
    """Give one run of each consumer after the other, until none of a round has called a handler."""
    if not consumers:
        raise InvalidArgument("There is no consumer to run")
    for consumer in consumers:
        instance("What is run", consumer, Consumer)
    watch = _Watch(integer("limit", limit, 1))
    calls = -1
    while watch.calls != calls:
        calls = watch.calls
        for consumer in consumers:
            settings = _without_pauses(consumer._settings)
            run = Consumption(settings, consumer.handlers, endless=False)
            yield consumer, watch.over(consumer.name, run.steps())


def _without_pauses(settings: Settings) -> Settings:
    policy = replace(settings.retry_policy, initial_interval=_AT_ONCE, max_interval=_AT_ONCE)
    return replace(settings, retry_policy=policy, poll_interval=(_AT_ONCE, _AT_ONCE))


class _Watch:
    """Counts what consumers ask for, and ends them where it becomes too much.

    Attributes:
        calls: how often handlers were called.
    """

    def __init__(self, limit: int) -> None:
        self.calls = 0
        self._limit = limit
        self._interruptions = 0

    def over(self, consumer: str, steps: Steps) -> Steps:
        """Pass the steps of a consumer on to the driver, and back what comes of them."""
        with closing(steps):
            try:
                step = next(steps)
                while True:
                    self._count(consumer, step)
                    try:
                        done = yield step
                    except Exception as error:
                        # The consumer's loop decides what becomes of it, unless it is too much.
                        self._bear(error)
                        step = steps.throw(error)
                    else:
                        step = steps.send(done)
            except StopIteration:
                return

    def _count(self, consumer: str, step: Step) -> None:
        if not isinstance(step, Handle | Deliver):
            return
        self.calls += len(step.calls)
        if self.calls > self._limit:
            _, message = step.calls[0]
            raise NotCaughtUp(
                f"Handlers were called {self._limit} times, and consumer {consumer!r} goes on, "
                f"with message {message.global_position} of type {message.type!r} in "
                f"{message.stream_name!r}: what handlers write may be handled for ever; if it is "
                "only much, pass a greater limit"
            )

    def _bear(self, error: Exception) -> None:
        if isinstance(error, Interrupted | Unavailable):
            self._interruptions += 1
            if self._interruptions > _INTERRUPTIONS:
                raise error.__cause__ or error
