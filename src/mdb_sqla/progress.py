"""A consumer's work on one slot: what is read, handled and saved."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy.orm import Session
from tenacity import (
    DoAttempt,
    DoSleep,
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential,
)

from mdb_sqla import dead_letters, positions, reading
from mdb_sqla.errors import HandlerFailed, InvalidArgument, SlotLost
from mdb_sqla.groups import Group
from mdb_sqla.handling import Handlers
from mdb_sqla.message import StoredMessage
from mdb_sqla.positions import Claim
from mdb_sqla.reading import CategoryFilters
from mdb_sqla.steps import CutOff, Handle, Interrupted, Pause, Step, Transact
from mdb_sqla.stream_name import StreamName

__all__ = ["Control", "Progress", "Retries", "Settings", "Stopped", "checkpoint", "log", "rest"]

_log = logging.getLogger("mdb_sqla.consumer")

_LONGEST_PAUSE = 60.0  # seconds; whoever ends it wakes the consumer


@dataclass(frozen=True)
class Retries:
    """How often a handler is tried, with pauses that double from `first` to `longest` seconds.

    Raises:
        InvalidArgument: a number is not more than 0.
    """

    attempts: int = 10
    first: float = 0.1
    longest: float = 30.0

    def __post_init__(self) -> None:
        if not self.attempts > 0 or not 0 < self.first <= self.longest:
            raise InvalidArgument(
                f"attempts and first must be more than 0, and longest not less than first: {self!r}"
            )


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
    sets_aside: bool
    poll: tuple[float, float]
    group: Group | None
    filters: CategoryFilters


class Stopped(Exception):
    """The consumer was stopped between two things that it does."""


@dataclass
class Control:
    """What a consumer has been told from outside."""

    stopping: bool = False
    paused: bool = False


class Progress:
    """One slot, as it is held by this process."""

    def __init__(
        self,
        settings: Settings,
        handlers: Handlers,
        control: Control,
        claim: Claim,
        position: int,
        filters: CategoryFilters,
    ) -> None:
        self.claim = claim
        self._settings = settings
        self._handlers = handlers
        self._control = control
        self._filters = filters
        self._cut_off = 0, 0  # a global position, and how often its handler lost the connection
        self._blocked: set[str] = set()  # streams of which messages are set aside
        self._position = self._saved = position  # up to where all is done, and what of it is saved

    def advance(self, *, idle: bool = False) -> Generator[Step, Any, tuple[bool, bool]]:
        """Read a batch and handle it; returns whether there was any, and whether it was full.

        Args:
            idle: whether there is time to save a position that has not come far.

        Raises:
            SlotLost: the slot is no longer held here.
            HandlerFailed: a handler has failed for good.
            Stopped: the consumer was stopped.
        """
        settings = self._settings
        replayed = 0
        if settings.sets_aside:
            replayed = yield from self._replay()
        messages, settled = yield Transact(self._fetch)
        for number in range(0, len(messages), settings.transaction_size):
            yield from self._handle(messages[number : number + settings.transaction_size])
            yield from checkpoint(self._control)
        full = len(messages) == settings.batch_size
        if not full:
            self._position = max(self._position, settled)
        yield from self.save(at_least=1 if idle else settings.batch_size)
        return bool(replayed or messages), full or replayed == settings.batch_size

    def save(self, *, at_least: int = 1) -> Generator[Step, Any, None]:
        """Save a position that messages without a handler have moved, where it has come far."""
        if self._position - self._saved >= at_least:
            yield Transact(partial(positions.save, self.claim, self._position))
            self._saved = self._position

    def renew(self) -> Generator[Step, Any, None]:
        """Learn how far it is: what was lost with a connection may have been committed.

        Raises:
            SlotLost: the slot is no longer held here.
        """
        self._position = self._saved = yield Transact(partial(positions.renew, self.claim))

    def _fetch(self, session: Session) -> tuple[list[StoredMessage], int]:
        settings, position, filters = self._settings, self._position + 1, self._filters
        # Before the read: what is settled by then, the read sees.
        settled = 0
        if settings.sets_aside:
            # Others may have left something out since.
            self._blocked = dead_letters.blocked_streams(self.claim, session)
        one = settings.categories[0] if len(settings.categories) == 1 else None
        if filters:
            settled = reading.settled_position(session, one)
        if one is not None:
            messages = reading.read_category(session, one, position, settings.batch_size, **filters)
        else:
            messages = reading.read_messages(
                session, settings.categories or None, position, settings.batch_size, **filters
            )
        return messages, settled

    def _handle(self, messages: list[StoredMessage]) -> Generator[Step, Any, None]:
        waiting = [message for message in messages if message.stream_name in self._blocked]
        calls = [
            (handler, message)
            for message in messages
            if message.stream_name not in self._blocked
            and (handler := self._handlers.find(message)) is not None
        ]
        last = messages[-1].global_position
        finish = partial(self._finish, last, waiting)
        try:
            if calls:
                yield from self._retry(Handle(calls, finish))
            elif waiting:
                yield Transact(finish)
        except HandlerFailed as failure:
            if not self._settings.sets_aside:
                raise
            if len(messages) > 1:
                # It is not known which of them it was.
                for message in messages:
                    yield from self._handle([message])
                return
            yield Transact(partial(self._set_aside, failure))
            self._blocked.add(failure.message.stream_name)
            self._saved = last
        else:
            if calls or waiting:
                self._saved = last
        self._position = last

    def _finish(self, position: int, waiting: list[StoredMessage], session: Session) -> None:
        dead_letters.set_aside(self.claim, waiting, session)
        positions.save(self.claim, position, session)

    def _set_aside(self, failure: HandlerFailed, session: Session) -> None:
        error = failure.__cause__ or failure
        dead_letters.fail(self.claim, failure.message, error, failure.tries, session)
        positions.save(self.claim, failure.message.global_position, session)

    def _replay(self) -> Generator[Step, Any, int]:
        """Handle what was set aside and waits for nothing more; returns how many there were."""
        limit = self._settings.batch_size
        messages: list[StoredMessage] = yield Transact(partial(dead_letters.due, self.claim, limit))
        failed: set[str] = set()
        for message in messages:
            if message.stream_name in failed:
                continue
            handler = self._handlers.find(message)
            remove = partial(dead_letters.remove, self.claim, message)
            try:
                if handler is None:
                    yield Transact(remove)
                else:
                    yield from self._retry(Handle([(handler, message)], remove))
            except dead_letters.LeftOut:
                pass
            except HandlerFailed as failure:
                failed.add(message.stream_name)
                error = failure.__cause__ or failure
                yield Transact(
                    partial(dead_letters.fail_again, self.claim, message, error, failure.tries)
                )
            yield from checkpoint(self._control)
        return len(messages)

    def _retry(self, step: Handle) -> Generator[Step, Any, None]:
        retries = self._settings.retries
        retrying = Retrying(
            retry=retry_if_exception(_may_pass),
            stop=stop_after_attempt(retries.attempts),
            wait=wait_exponential(multiplier=retries.first, max=retries.longest),
            reraise=True,
        )
        # As tenacity's own loops do it, but here it is a driver that calls and sleeps.
        retrying.begin()
        state = RetryCallState(retrying, None, (), {})
        _, first = step.calls[0]
        if self._cut_off[0] != first.global_position:
            self._cut_off = first.global_position, 0
        while True:
            try:
                do = retrying.iter(state)
            except Exception as error:
                if not _may_pass(error):
                    raise
                message = step.current or first
                raise HandlerFailed(self._settings.name, message, state.attempt_number) from error
            if isinstance(do, DoAttempt):
                try:
                    state.set_result((yield step))
                except CutOff as error:
                    # It may be the handler itself that does it, every time.
                    tries = self._cut_off[1] + 1
                    self._cut_off = first.global_position, tries
                    if tries < retries.attempts:
                        raise
                    message = step.current or first
                    raise HandlerFailed(self._settings.name, message, tries) from error
                except Exception as error:
                    message = step.current or first
                    log(
                        logging.WARNING,
                        self._settings.name,
                        "could not handle message %d of type %s",
                        message.global_position,
                        message.type,
                        error=error,
                        slot=self.claim.slot,
                        attempt=state.attempt_number,
                    )
                    state.set_exception(sys.exc_info())  # type: ignore[arg-type]
            elif isinstance(do, DoSleep):
                state.prepare_for_next_attempt()
                yield from rest(do, self._control)
            else:
                return


def checkpoint(control: Control) -> Generator[Step, Any, None]:
    """Go on, unless the consumer was told otherwise.

    Raises:
        Stopped: the consumer was stopped.
    """
    while control.paused and not control.stopping:
        yield Pause(_LONGEST_PAUSE)
    if control.stopping:
        raise Stopped


def rest(seconds: float, control: Control) -> Generator[Step, Any, None]:
    """Wait, whatever wakes the consumer meanwhile.

    Raises:
        Stopped: the consumer was stopped.
    """
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        yield Pause(left)
        yield from checkpoint(control)


def log(
    level: int,
    consumer: str,
    what: str,
    *values: object,
    error: Exception | None = None,
    **fields: object,
) -> None:
    """Log a line about a consumer, with fields for those who search in logs."""
    _log.log(
        level,
        f"Consumer %s {what}",
        consumer,
        *values,
        exc_info=error,
        extra={"consumer": consumer, **fields},
    )


def _may_pass(error: BaseException) -> bool:
    """Whether to call a handler again: not if this is no longer ours, or the server is away."""
    return not isinstance(error, SlotLost | dead_letters.LeftOut | Interrupted)
