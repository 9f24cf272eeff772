"""Catch-up for tests: runs consumers without pauses until nothing is left to handle."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla.consumers.consumer import Consumer
from mdb_sqla.consumers.loop import ConsumerLoop
from mdb_sqla.consumers.loop_operations import Deliver, Handle, Interrupted, Operation, Routine
from mdb_sqla.consumers.runners import AsyncRunner, Runner
from mdb_sqla.consumers.settings import Settings
from mdb_sqla.errors import InvalidArgument, MessageStoreError, Unavailable
from mdb_sqla.words.argument_checks import instance, integer

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

__all__ = ["NotCaughtUp", "catch_up", "catch_up_async"]

_LIMIT = 1000  # handler calls
_MAX_INTERRUPTIONS = 20  # more than a test causes; beyond it, the server is unreachable
_NO_PAUSE = 1e-9  # seconds


class NotCaughtUp(MessageStoreError):
    """The limit of handler calls was reached, but messages are still left to handle.

    Handlers that write messages for themselves or each other may continue indefinitely.
    """


def catch_up(factory: sessionmaker[Session], *consumers: Consumer, limit: int = _LIMIT) -> None:
    """Run consumers in turn until none of them has anything left to handle.

    This includes messages that their handlers write for each other. Failed handlers are retried
    without pauses, within their consumer's `RetryPolicy`. Uncommitted messages are not waited for.

    Args:
        factory: creates the consumers' sessions, as for `Consumer.run`.
        consumers: the consumers to run; pass those of a host as `*host.consumers`.
        limit: the maximum number of handler calls, of all consumers together.

    Raises:
        NotCaughtUp: the limit was reached.
        HandlerFailed: all attempts to handle a message have failed. See `Consumer.run` for other
            errors.
        DBAPIError, OSError: the server is unreachable; this is the driver's error.
        InvalidArgument: there is no consumer, or a consumer has an async handler.
    """
    for consumer in consumers:
        instance("consumer", consumer, Consumer).handlers.check_sync()
    for _, operations in _runs(consumers, limit):
        Runner(factory).run(operations)


async def catch_up_async(
    factory: async_sessionmaker[AsyncSession], *consumers: Consumer, limit: int = _LIMIT
) -> None:
    """Run consumers in turn in a task; their handlers can be async. See `catch_up`."""
    for consumer, operations in _runs(consumers, limit):
        async with consumer._open_resources(factory):
            await AsyncRunner(factory).run(operations)


def _runs(consumers: tuple[Consumer, ...], limit: int) -> Iterator[tuple[Consumer, Routine]]:
    """Yield runs of each consumer in turn, until a full round has called no handler."""
    if not consumers:
        raise InvalidArgument("catch_up needs at least one consumer, got none")
    for consumer in consumers:
        instance("consumer", consumer, Consumer)
    watch = _Watch(integer("limit", limit, 1))
    calls = -1
    while watch.calls != calls:
        calls = watch.calls
        for consumer in consumers:
            settings = _without_pauses(consumer._settings)
            run = ConsumerLoop(settings, consumer.handlers, endless=False)
            yield consumer, watch.forward(consumer.name, run.operations())


def _without_pauses(settings: Settings) -> Settings:
    policy = replace(settings.retry_policy, initial_interval=_NO_PAUSE, max_interval=_NO_PAUSE)
    return replace(settings, retry_policy=policy, poll_interval=(_NO_PAUSE, _NO_PAUSE))


class _Watch:
    """Counts handler calls and interruptions, and stops consumers at the limits.

    Attributes:
        calls: the number of handler calls.
    """

    def __init__(self, limit: int) -> None:
        self.calls = 0
        self._limit = limit
        self._interruptions = 0

    def forward(self, consumer: str, operations: Routine) -> Routine:
        """Forward a consumer's operations to the runner, and their results back."""
        with closing(operations):
            try:
                operation = next(operations)
                while True:
                    self._count_calls(consumer, operation)
                    try:
                        done = yield operation
                    except Exception as error:
                        # The consumer's loop handles it, within the limit.
                        self._count_interruption(error)
                        operation = operations.throw(error)
                    else:
                        operation = operations.send(done)
            except StopIteration:
                return

    def _count_calls(self, consumer: str, operation: Operation) -> None:
        if not isinstance(operation, Handle | Deliver):
            return
        self.calls += len(operation.calls)
        if self.calls > self._limit:
            _, message = operation.calls[0]
            raise NotCaughtUp(
                f"Handlers were called {self._limit} times, but consumer {consumer!r} has more to "
                f"handle: message {message.global_position} of type {message.type!r} in stream "
                f"{message.stream_name!r}. Handlers may be writing messages for themselves; if "
                "not, pass a higher limit"
            )

    def _count_interruption(self, error: Exception) -> None:
        if isinstance(error, Interrupted | Unavailable):
            self._interruptions += 1
            if self._interruptions > _MAX_INTERRUPTIONS:
                raise error.__cause__ or error
