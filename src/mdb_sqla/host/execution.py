"""The threads or tasks in which a host runs its consumers and the retention job."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla.consumers.consumer import Consumer
from mdb_sqla.host.retention_task import RetentionTask

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

__all__ = ["Execution", "is_async"]


@dataclass(frozen=True)
class Execution:
    """One run of a host's consumers.

    Attributes:
        consumers: the consumers.
        retention: the retention job; None for none.
        is_stopping: whether consumers that have yet to start must stop at once.
        failed: called with a consumer and the error that ended it.
    """

    consumers: Sequence[Consumer]
    retention: RetentionTask | None
    is_stopping: Callable[[], bool]
    failed: Callable[[Consumer, BaseException], object]

    def run(self, factory: sessionmaker[Session]) -> None:
        """Run each consumer in a thread, until all have ended."""

        def run(consumer: Consumer) -> None:
            try:
                consumer._run(factory, endless=True, is_stopping=self.is_stopping)
            except BaseException as error:
                self.failed(consumer, error)

        threads = [
            threading.Thread(target=run, args=(consumer,), name=f"consumer {consumer.name}")
            for consumer in self.consumers
        ]
        if (retention := self.retention) is not None:
            threads.append(
                threading.Thread(target=retention.run, args=(factory,), name="retention")
            )
        for thread in threads:
            thread.start()
        for thread in threads:
            # With a timeout: a thread that waits indefinitely doesn't handle signals.
            while thread.is_alive():
                thread.join(0.5)

    async def run_async(self, factory: async_sessionmaker[AsyncSession]) -> None:
        """Run each consumer in a task, until all have ended."""

        async def run(consumer: Consumer) -> None:
            try:
                await consumer._run_async(factory, endless=True, is_stopping=self.is_stopping)
            except BaseException as error:
                self.failed(consumer, error)

        async with asyncio.TaskGroup() as tasks:
            for consumer in self.consumers:
                tasks.create_task(run(consumer))
            if self.retention is not None:
                tasks.create_task(self.retention.run_async(factory))


def is_async(factory: object) -> bool:
    """Return whether a factory is an `async_sessionmaker`."""
    try:
        from sqlalchemy.ext.asyncio import async_sessionmaker
    except ImportError:  # greenlet is not installed
        return False
    return isinstance(factory, async_sessionmaker)
