"""The state of the store and its recent history, queried at intervals for all viewers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple, TypeVar

from sqlalchemy import Connection

from mdb_sqla.admin.store_summary import summary
from mdb_sqla.log_event import log_event
from mdb_sqla.metrics.adaptive_limit import AdaptiveLimit
from mdb_sqla.store.table_size import estimated_rows
from mdb_sqla.web.activity import activity
from mdb_sqla.web.bounded_database import ANSWER_TIMEOUT, BoundedDatabase, TooSlow, Unavailable
from mdb_sqla.web.failures import FAILURES, failure_text
from mdb_sqla.web.message_database import MessageDatabase
from mdb_sqla.web.store_snapshot import Snapshot, query_snapshot

__all__ = ["Progress", "StoreMonitor"]

_T = TypeVar("_T")

_log = logging.getLogger("mdb_sqla.web")

_INTERVAL = 5.0  # seconds between two snapshots
_SLOW_INTERVAL = 30.0  # seconds between two summaries of the messages
_SLOW_TIMEOUT = 4.0  # seconds for a statement
_WITHIN = 8.0  # seconds for all statements of a transaction: nobody waits for it
_CATEGORIES = 50
_COMPLETION = 1.5  # seconds that the first viewer waits for the summary
_IDLE = 900.0  # seconds without a viewer after which the store is no longer queried
_HISTORY = 3_600.0  # seconds
_MAX_POINTS, _LEAST_POINTS = 100_000, 13  # of the history of all consumers, and of each
_RATE_SECONDS = 60.0
_REFRESH = 1.5  # seconds that an action waits for the state that it has changed
_EXAMINED, _MIN_EXAMINED, _MAX_EXAMINED = 20_000, 2_000, 200_000
"""The number of messages to examine for the lag of all consumers."""
_FAST, _SLOW = 0.5, 2.0  # seconds for a query, after which more or less is examined


class Progress(NamedTuple):
    """The progress of a consumer at a point in time.

    Attributes:
        at: the time, as of `time.monotonic()`.
        lag: the number of messages to handle.
        passed: the number of messages of its categories that its position has passed since the
            previous point.
        position: its lowest position.
    """

    at: float
    lag: int
    passed: int
    position: int


class StoreMonitor:
    """Queries the state of the store every few seconds while the page is in use.

    The number of viewers makes no difference to the database.

    Args:
        database: runs the queries.
        messages: runs those that only read messages, which standbys may serve.
    """

    def __init__(self, database: BoundedDatabase, messages: MessageDatabase) -> None:
        self._database = database
        self._messages = messages
        self._snapshot = Snapshot()
        self._history: dict[str, deque[Progress]] = {}
        self._used_at = 0.0
        self._examined = AdaptiveLimit(
            _EXAMINED, least=_MIN_EXAMINED, most=_MAX_EXAMINED, fast=_FAST, slow=_SLOW
        )
        self._began = 0.0
        self._slow_at: float | None = None
        self._task: asyncio.Task[None] | None = None
        self._refreshing: set[asyncio.Task[None]] = set()
        self._is_queried = asyncio.Event()
        self._is_complete = asyncio.Event()

    async def snapshot(self) -> Snapshot:
        """Return the latest state; the first call waits for it.

        Raises:
            Unavailable: the store could not be queried yet.
        """
        self._used_at = time.monotonic()
        if self._task is None or self._task.done():
            # Events belong to the event loop of the task.
            self._is_queried, self._is_complete = asyncio.Event(), asyncio.Event()
            self._task = asyncio.create_task(self._watch(), name="mdb_sqla web monitor")
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await self._is_queried.wait()
        if self._snapshot.taken_at is None:
            if self._snapshot.problem is None:
                raise TooSlow(ANSWER_TIMEOUT)
            raise Unavailable(self._snapshot.problem)
        with suppress(TimeoutError):
            async with asyncio.timeout(_COMPLETION):
                await self._is_complete.wait()
        return self._snapshot

    def history(self, consumer: str) -> list[Progress]:
        """Return the progress of a consumer in the last hour, oldest first."""
        return list(self._history.get(consumer, ()))

    def rate(self, consumer: str) -> float | None:
        """Return how many messages per second a consumer passed in the last minute, if known."""
        points = self._history.get(consumer, ())
        recent = [each for each in points if each.at >= time.monotonic() - _RATE_SECONDS]
        if len(recent) < 2:
            return None
        return sum(each.passed for each in recent[1:]) / (recent[-1].at - recent[0].at)

    async def refresh(self) -> None:
        """Query the state now, after an action, and wait for it for a limited time."""
        task = asyncio.create_task(self._take(), name="mdb_sqla web refresh")
        self._refreshing.add(task)
        task.add_done_callback(self._refreshing.discard)
        await asyncio.wait({task}, timeout=_REFRESH)

    async def _watch(self) -> None:
        while time.monotonic() - self._used_at < _IDLE:
            await self._take()
            self._is_queried.set()
            await self._take_slow()
            self._is_complete.set()
            await asyncio.sleep(_INTERVAL)

    async def _take(self) -> None:
        began = time.monotonic()
        try:
            before = {name: points[-1].position for name, points in self._history.items() if points}
            # The more consumers there are, the less is examined for each.
            examine = self._examined.value // max(len(self._snapshot.consumers), 10)
            found, passed = await self._database.read(
                lambda db: query_snapshot(db, before, examine),
                seconds=_SLOW_TIMEOUT,
                within=_WITHIN,
            )
            now = time.monotonic()
            self._examined.adapt(now - began)
            self._add(found, passed, began, now)
            self._set(
                began,
                replace(
                    found,
                    taken_at=now,
                    summary=self._snapshot.summary,
                    activity=self._snapshot.activity,
                ),
            )
        except Exception as error:
            # Whatever it is, the page shows it, and continues.
            self._examined.adapt(time.monotonic() - began, failed=True)
            log_event(
                _log,
                _level(error),
                "web.store_unavailable",
                "The state of the store could not be queried",
                error=error,
            )
            self._set(began, replace(self._snapshot, problem=failure_text(error)))

    def _set(self, began: float, snapshot: Snapshot) -> None:
        """Set the state, unless a query that began later has already returned a newer one."""
        if began >= self._began:
            self._began = began
            self._snapshot = snapshot

    async def _take_slow(self) -> None:
        now = time.monotonic()
        is_due = self._slow_at is None or now - self._slow_at >= _SLOW_INTERVAL
        if self._snapshot.problem is not None or not is_due:
            return
        self._slow_at = now
        of_messages = await self._query(
            self._messages, lambda db: summary(db, categories=_CATEGORIES)
        )
        # Standbys don't count dead rows.
        rows = await self._query(self._database, estimated_rows)
        if of_messages is not None:
            of_messages = None if rows is None else replace(of_messages, dead_rows=rows.dead)
        of_minutes = await self._query(self._messages, activity)
        self._snapshot = replace(self._snapshot, summary=of_messages, activity=of_minutes)

    async def _query(
        self, database: BoundedDatabase | MessageDatabase, work: Callable[[Connection], _T]
    ) -> _T | None:
        """Return the result of a query; None if it fails, for example on a busy server."""
        try:
            return await database.read(work, seconds=_SLOW_TIMEOUT, within=_WITHIN)
        except Exception as error:
            # The page shows the state without it.
            log_event(
                _log,
                _level(error),
                "web.summary_skipped",
                "The store could not be summarized",
                error=error,
            )
            return None

    def _add(self, found: Snapshot, passed: Mapping[str, int], began: float, now: float) -> None:
        names = {each.name for each in found.consumers}
        self._history = {name: kept for name, kept in self._history.items() if name in names}
        limit = max(_MAX_POINTS // max(len(names), 1), _LEAST_POINTS)
        for each in found.consumers:
            if each.lag is None:
                continue
            points = self._history.setdefault(each.name, deque())
            position = each.lag.position or 0
            if points and points[-1].at >= began:
                continue  # another query has counted the same messages
            points.append(Progress(now, each.lag.messages, passed.get(each.name, 0), position))
            while points[0].at < now - _HISTORY or len(points) > limit:
                points.popleft()


def _level(error: Exception) -> int:
    """Return the level to log an error with: a database that is down is not a bug."""
    return logging.DEBUG if isinstance(error, FAILURES) else logging.ERROR
