"""Queries in the background, whose results are shared, cached, and awaited for a limited time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from typing import Generic, TypeVar

__all__ = ["TIMEOUT", "QueryCache", "in_thread"]

_T = TypeVar("_T")

TIMEOUT = 5.0
"""The number of seconds to wait for a query."""

_KEEP = 1.0  # seconds for which a result is returned again


def in_thread(query: Callable[[], _T], name: str) -> Future[_T]:
    """Run a query in a daemon thread with this name. The query must not raise."""
    result: Future[_T] = Future()

    def run() -> None:
        found = query()
        # The result may have been cancelled in the meantime.
        with suppress(InvalidStateError):
            result.set_result(found)

    threading.Thread(target=run, name=name, daemon=True).start()
    return result


class QueryCache(Generic[_T]):
    """The latest result of a query, which runs at most once a second, and never twice at a time.

    A query that has not ended keeps others from starting, however long it takes.

    Args:
        start: starts the query in the background.
    """

    def __init__(self, start: Callable[[], Future[_T]]) -> None:
        self._start = start
        self._lock = threading.Lock()
        self._result: Future[_T] | None = None
        self._started_at = self._ended_at = 0.0
        self._is_closed = False

    def get(self) -> Future[_T]:
        """Wait for the result, and return it; it is not done if it takes too long."""
        result, timeout = self._latest()
        with suppress(TimeoutError, CancelledError):
            result.exception(timeout)
        return result

    async def get_async(self) -> Future[_T]:
        """Wait for the result, and return it. See `get`."""
        result, timeout = self._latest()
        if not result.done():
            await asyncio.wait([asyncio.wrap_future(result)], timeout=timeout)
        return result

    def close(self) -> None:
        """Cancel the query: all waiting callers return at once. Can be called from any thread."""
        with self._lock:
            self._is_closed = True
            result = self._result
        if result is not None:
            result.cancel()

    def _latest(self) -> tuple[Future[_T], float]:
        """Return the result, and for how many seconds to wait for it."""
        with self._lock:
            now = time.monotonic()
            if self._is_closed:
                closed: Future[_T] = Future()
                closed.cancel()
                return closed, 0.0
            result = self._result
            if result is None or (result.done() and now >= self._ended_at + _KEEP):
                self._started_at = now
                result = self._result = self._start()
                result.add_done_callback(self._end)
            return result, max(self._started_at + TIMEOUT - now, 0.0)

    def _end(self, _: object) -> None:
        self._ended_at = time.monotonic()
