"""The loop of a consumer, as the steps that a driver does for it."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from tenacity import (
    DoAttempt,
    DoSleep,
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

from mdb_sqla import positions, reading
from mdb_sqla.driving import Handle, Pause, Steps, Transact
from mdb_sqla.errors import HandlerFailed, SlotLost
from mdb_sqla.handling import Handler, Handlers
from mdb_sqla.message import StoredMessage
from mdb_sqla.positions import Claim
from mdb_sqla.reading import CategoryFilters
from mdb_sqla.refusals import is_lost_connection
from mdb_sqla.stream_name import StreamName

__all__ = ["Consumption", "Retries", "Settings"]

_log = logging.getLogger("mdb_sqla.consumer")

_LONGEST_OUTAGE = 10.0  # seconds between two attempts to reach the server again


@dataclass(frozen=True)
class Retries:
    """How often a handler is tried, with pauses that grow from `first` to `longest` seconds."""

    attempts: int = 5
    first: float = 0.1
    longest: float = 30.0


@dataclass(frozen=True)
class Settings:
    """What a consumer was made with; see `Consumer`."""

    name: str
    categories: tuple[StreamName, ...]
    start: int
    take_over: StreamName | None
    batch_size: int
    transaction_size: int
    retries: Retries
    poll: tuple[float, float]
    filters: CategoryFilters

    @property
    def slot(self) -> int:
        """The member's number in a consumer group; 0 without one."""
        return self.filters.get("consumer_group_member") or 0

    @property
    def slots(self) -> int:
        """The size of the consumer group; 1 without one."""
        return self.filters.get("consumer_group_size") or 1


class Consumption:
    """One run of a consumer, from its start to its end."""

    def __init__(self, settings: Settings, handlers: Handlers, *, endless: bool) -> None:
        self._settings = settings
        self._handlers = handlers
        self._endless = endless
        self._claim: Claim | None = None
        self._position = 0  # up to where all is done
        self._saved = 0  # and what of that is saved
        self.stopping = False

    def steps(self) -> Steps:
        """Consume, and go on where the connection was lost."""
        outages = _growing(self._settings.poll[1], _LONGEST_OUTAGE)
        while not self.stopping:
            try:
                yield from self._consume()
                return
            except DBAPIError as error:
                if not is_lost_connection(error):
                    raise
                pause = next(outages)
                self._log(logging.WARNING, "has lost its connection, and tries again", error=error)
                yield from self._rest(pause)

    def _consume(self) -> Steps:
        # What was lost with a connection may have been committed: the database knows.
        if self._claim is None:
            self._claim, position = yield Transact(self._take)
        else:
            position = yield Transact(partial(positions.renew, self._claim))
        self._position = self._saved = position
        self._log(logging.INFO, "goes on")
        with suppress(_Stopped):
            yield from self._follow()
        yield from self._save(at_least=1)
        self._log(logging.INFO, "stops")

    def _follow(self) -> Steps:
        settings = self._settings
        pauses = _growing(*settings.poll)
        while not self.stopping:
            messages, settled = yield Transact(self._fetch)
            for number in range(0, len(messages), settings.transaction_size):
                yield from self._handle(messages[number : number + settings.transaction_size])
                if self.stopping:
                    return
            if len(messages) < settings.batch_size:
                self._position = max(self._position, settled)
                if not self._endless:
                    return
            yield from self._save(at_least=settings.batch_size)
            if messages:
                pauses = _growing(*settings.poll)
            else:
                yield Pause(next(pauses))

    def _take(self, session: Session) -> tuple[Claim, int]:
        settings = self._settings
        start = max(settings.start - 1, 0)
        if settings.take_over is not None:
            recorded = reading.last_message(session, settings.take_over, "Recorded")
            if recorded is not None:
                start = int(recorded.data["position"])
        return positions.claim(session, settings.name, settings.slot, settings.slots, start)

    def _fetch(self, session: Session) -> tuple[list[StoredMessage], int]:
        settings, position = self._settings, self._position + 1
        # Before the read: what is settled by then, the read sees.
        settled = 0
        if settings.filters:
            one = settings.categories[0] if len(settings.categories) == 1 else None
            settled = reading.settled_position(session, one)
        if len(settings.categories) == 1:
            messages = reading.read_category(
                session, settings.categories[0], position, settings.batch_size, **settings.filters
            )
        else:
            messages = reading.read_messages(
                session,
                settings.categories or None,
                position,
                settings.batch_size,
                **settings.filters,
            )
        return messages, settled

    def _handle(self, messages: Sequence[StoredMessage]) -> Steps:
        calls: list[tuple[Handler, StoredMessage]] = []
        for message in messages:
            handler = self._handlers.find(message)
            if handler is not None:
                calls.append((handler, message))
        last = messages[-1].global_position
        if calls:
            yield from self._retry(Handle(calls, partial(self._move_to, last)))
            self._saved = last
        self._position = last

    def _retry(self, step: Handle) -> Steps:
        retries = self._settings.retries
        retrying = Retrying(
            retry=retry_if_exception(_may_pass),
            stop=stop_after_attempt(retries.attempts),
            wait=wait_random_exponential(multiplier=retries.first, max=retries.longest),
            reraise=True,
        )
        # As tenacity's own loops do it, but here it is a driver that calls and sleeps.
        retrying.begin()
        state = RetryCallState(retrying, None, (), {})
        _, first = step.calls[0]
        while True:
            try:
                do = retrying.iter(state)
            except Exception as error:
                if not _may_pass(error):
                    raise
                raise HandlerFailed(self._settings.name, first, state.attempt_number) from error
            if isinstance(do, DoAttempt):
                try:
                    state.set_result((yield step))
                except Exception as error:
                    self._log(
                        logging.WARNING, "fails", error, global_position=first.global_position
                    )
                    state.set_exception(sys.exc_info())  # type: ignore[arg-type]
            elif isinstance(do, DoSleep):
                state.prepare_for_next_attempt()
                yield from self._rest(do)
            else:
                return

    def _move_to(self, position: int, session: Session) -> None:
        assert self._claim is not None  # noqa: S101 (nothing is read before it is claimed)
        positions.save(self._claim, position, session)

    def _save(self, *, at_least: int) -> Steps:
        """Save a position that messages without a handler have moved, where it has come far."""
        if self._position - self._saved >= at_least:
            yield Transact(partial(self._move_to, self._position))
            self._saved = self._position

    def _rest(self, seconds: float) -> Steps:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            yield Pause(left)
            if self.stopping:
                raise _Stopped

    def _log(self, level: int, what: str, error: Exception | None = None, **values: Any) -> None:
        _log.log(
            level,
            "Consumer %s %s at position %d%s",
            self._settings.name,
            what,
            self._position,
            f": {error}" if error else "",
            exc_info=error,
            extra={"consumer": self._settings.name, "position": self._position, **values},
        )


class _Stopped(Exception):
    """The consumer was stopped while it waited to try something again."""


def _may_pass(error: BaseException) -> bool:
    """Whether to call a handler again: not if this is no longer ours, or the server is gone."""
    return not isinstance(error, SlotLost) and not is_lost_connection(error)


def _growing(first: float, longest: float) -> Iterator[float]:
    while True:
        yield first
        first = min(2 * first, longest)
