"""The retention job as a periodic task of a host."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Generator
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla.consumers.loop_operations import Operation, Pause, Transact
from mdb_sqla.consumers.runners import AsyncRunner, Runner
from mdb_sqla.errors import ArchiveError
from mdb_sqla.log_event import log_event
from mdb_sqla.retention.holds import readers
from mdb_sqla.retention.job import Job

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

__all__ = ["RetentionTask"]

_REGISTRATION_PAUSE = 0.1  # seconds
_LONGEST_PAUSE = 3_600.0  # seconds; an interval may be longer than a thread can wait

_log = logging.getLogger("mdb_sqla.host")


class RetentionTask:
    """Runs the retention job at intervals, until stopped.

    Errors are logged, and the job is tried again at the next interval. If another process is
    deleting messages of a category, the category is left to it.

    The first run waits until the consumers of the host are registered: messages that one of them
    has yet to handle must not be deleted while it starts.

    Args:
        interval: the number of seconds from the end of a run to the next one.
        consumers: the names of the host's consumers.
    """

    def __init__(self, interval: float, consumers: Collection[str]) -> None:
        self._interval = interval
        self._unregistered = set(consumers)
        self._stopping = False
        self._runner: Runner | AsyncRunner | None = None

    def run(self, factory: sessionmaker[Session]) -> None:
        """Run in this thread until `stop` is called."""
        self._runner = runner = Runner(factory)
        runner.run(self._operations())

    async def run_async(self, factory: async_sessionmaker[AsyncSession]) -> None:
        """Run in this task until `stop` is called."""
        self._runner = runner = AsyncRunner(factory)
        await runner.run(self._operations())

    def stop(self) -> None:
        """Stop after the current batch; from any thread."""
        self._stopping = True
        if self._runner is not None:
            self._runner.wake()

    def _operations(self) -> Generator[Operation, Any, None]:
        while not self._stopping:
            pause = self._interval
            try:
                if self._unregistered:
                    yield Transact(self._look_for_consumers)
                if self._unregistered:
                    pause = min(pause, _REGISTRATION_PAUSE)
                else:
                    yield from self._job()
            except Exception as error:
                # The consumers of the host need not stop for it.
                log_event(
                    _log,
                    logging.ERROR,
                    "retention.failed",
                    "The retention job failed",
                    error=error,
                )
            end = time.monotonic() + pause
            while not self._stopping and (left := end - time.monotonic()) > 0:
                yield Pause(min(left, _LONGEST_PAUSE))

    def _look_for_consumers(self, session: Session) -> None:
        self._unregistered -= {reader.consumer for reader in readers(session, None)}

    def _job(self) -> Generator[Operation, Any, None]:
        job = Job(wait=False)
        while not (job.is_done or self._stopping):
            try:
                yield Transact(job.step)
            except ArchiveError as error:
                job.give_up(error)
        for each in job.results:
            if each.messages:
                log_event(
                    _log,
                    logging.INFO,
                    "retention.deleted",
                    "Deleted %d messages of category %s: keep %s",
                    each.messages,
                    each.policy.category,
                    each.policy,
                    category=each.policy.category,
                    messages=each.messages,
                    first_position=each.first_global_position,
                    last_position=each.last_global_position,
                )
            for hold in each.holds:
                log_event(
                    _log,
                    logging.DEBUG,
                    "retention.held_back",
                    "Retention of %s is held back: %s",
                    each.policy.category,
                    hold,
                    category=each.policy.category,
                    consumer=hold.consumer,
                    position=hold.position,
                    dead_letters=hold.dead_letters,
                )
        if job.is_done:
            job.finish()
