"""Queries for consumers' lags that end in bounded time, even if the database doesn't respond."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla.consumers.consumer import Consumer
from mdb_sqla.consumers.consumer_lag import Lag
from mdb_sqla.database.execution import WRITES
from mdb_sqla.metrics.background_query import TIMEOUT, in_thread

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

__all__ = [
    "STOPPED",
    "TIMEOUT",
    "LagQuery",
    "LagReport",
    "query_in_loop",
    "query_in_thread",
    "report_of",
    "wait_for_report",
]

STOPPED = "The host has stopped"

_CONNECT: dict[str, Any] = {
    "bind_arguments": {"clause": WRITES},
    # Overrides AUTOCOMMIT: the settings of the query must end with its transaction.
    "execution_options": {"isolation_level": "READ COMMITTED"},
}


@dataclass(frozen=True)
class LagReport:
    """The consumers' lags, or the reason why the database did not return them."""

    lags: Sequence[Lag] | None = None
    problem: str | None = None


LagQuery = Callable[[], "Future[LagReport]"]
"""Starts a query for lags in the background."""


def query_in_thread(factory: sessionmaker[Session], consumers: Sequence[Consumer]) -> LagQuery:
    """Return a query that runs in a daemon thread."""
    return lambda: in_thread(lambda: _measure(factory, consumers), "mdb_sqla lag")


def query_in_loop(
    loop: asyncio.AbstractEventLoop,
    factory: async_sessionmaker[AsyncSession],
    consumers: Sequence[Consumer],
) -> LagQuery:
    """Return a query that runs in the event loop to which the factory's connections belong."""
    return lambda: asyncio.run_coroutine_threadsafe(_measure_async(factory, consumers), loop)


def report_of(future: Future[LagReport]) -> LagReport:
    """Return the report; if the query is not done, a report of this problem."""
    if not future.done():
        return LagReport(problem=f"The database did not answer within {TIMEOUT:g} seconds")
    return LagReport(problem=STOPPED) if future.cancelled() else future.result()


async def wait_for_report(future: Future[LagReport], seconds: float) -> LagReport:
    """Wait for a report for a limited time, without cancelling its query."""
    await asyncio.wait([asyncio.wrap_future(future)], timeout=max(seconds, 0))
    return report_of(future)


def _measure(factory: sessionmaker[Session], consumers: Sequence[Consumer]) -> LagReport:
    """Query the database; an error becomes the report's problem."""
    try:
        with factory() as session:
            session.connection(**_CONNECT)
            return LagReport([consumer.lag(session) for consumer in consumers])
    except Exception as error:
        # A health check must answer whatever is wrong, and report it.
        return LagReport(problem=_problem(error))


async def _measure_async(
    factory: async_sessionmaker[AsyncSession], consumers: Sequence[Consumer]
) -> LagReport:
    """Query the database in a task. See `_measure`."""
    try:
        async with factory() as session:
            await session.connection(**_CONNECT)
            return LagReport([await session.run_sync(consumer.lag) for consumer in consumers])
    except Exception as error:
        # As in `_measure`.
        return LagReport(problem=_problem(error))


def _problem(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip() or type(error).__name__
