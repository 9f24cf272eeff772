"""Asking the database how far consumers are, in a time that is bounded whatever its state."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla.consumers.consumer import Consumer
from mdb_sqla.consumers.consumer_lag import Lag
from mdb_sqla.database.execution import WRITES

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

__all__ = [
    "ENDED",
    "PATIENCE",
    "Lags",
    "Question",
    "answer_of",
    "answered",
    "question",
    "question_in",
]

PATIENCE = 5.0
"""For how many seconds a host waits for the database to tell how far its consumers are."""

ENDED = "The host has ended"

_CONNECT: dict[str, Any] = {
    "bind_arguments": {"clause": WRITES},
    # Also where the application's engine has AUTOCOMMIT, for the settings of a transaction.
    "execution_options": {"isolation_level": "READ COMMITTED"},
}


@dataclass(frozen=True)
class Lags:
    """How far consumers are by what the database tells, or why it does not tell."""

    lags: Sequence[Lag] | None = None
    problem: str | None = None


Question = Callable[[], "Future[Lags]"]
"""Begins to ask the database for lags, in the background."""


def question(factory: sessionmaker[Session], consumers: Sequence[Consumer]) -> Question:
    """Return what asks in a thread, which the end of the process does not wait for."""

    def ask() -> Future[Lags]:
        answer: Future[Lags] = Future()

        def run() -> None:
            # Who has asked may no longer wait.
            with suppress(InvalidStateError):
                answer.set_result(_measure(factory, consumers))

        threading.Thread(target=run, name="mdb_sqla lag", daemon=True).start()
        return answer

    return ask


def question_in(
    loop: asyncio.AbstractEventLoop,
    factory: async_sessionmaker[AsyncSession],
    consumers: Sequence[Consumer],
) -> Question:
    """Return what asks in a task of the loop that the factory's connections belong to."""
    return lambda: asyncio.run_coroutine_threadsafe(_measure_async(factory, consumers), loop)


def answer_of(future: Future[Lags]) -> Lags:
    """Return what has come of a question by now."""
    if not future.done():
        return Lags(problem=f"The database has not answered for {PATIENCE:g} seconds")
    return Lags(problem=ENDED) if future.cancelled() else future.result()


async def answered(future: Future[Lags], seconds: float) -> Lags:
    """Wait for the answer to a question, but no longer than that, and leave the question open."""
    await asyncio.wait([asyncio.wrap_future(future)], timeout=max(seconds, 0))
    return answer_of(future)


def _measure(factory: sessionmaker[Session], consumers: Sequence[Consumer]) -> Lags:
    """Ask the database; whatever goes wrong is the answer, for it is asked because of that."""
    try:
        with factory() as session:
            session.connection(**_CONNECT)
            return Lags([consumer.lag(session) for consumer in consumers])
    except Exception as error:
        # Whatever it is, the status tells it, and the host goes on.
        return Lags(problem=_told(error))


async def _measure_async(
    factory: async_sessionmaker[AsyncSession], consumers: Sequence[Consumer]
) -> Lags:
    """Do the same in a task."""
    try:
        async with factory() as session:
            await session.connection(**_CONNECT)
            return Lags([await session.run_sync(consumer.lag) for consumer in consumers])
    except Exception as error:
        # Whatever it is, the status tells it, and the host goes on.
        return Lags(problem=_told(error))


def _told(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip() or type(error).__name__
