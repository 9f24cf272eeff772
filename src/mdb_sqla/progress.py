"""A consumer's work on one slot: what is read, handled and saved."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from mdb_sqla import dead_letters, positions, reading
from mdb_sqla.errors import HandlerFailed
from mdb_sqla.groups import Group
from mdb_sqla.handling import Handler, Handlers
from mdb_sqla.message import StoredMessage
from mdb_sqla.positions import Claim
from mdb_sqla.reading import CategoryFilters
from mdb_sqla.steps import Deliver, Failure, Handle, Step, Transact
from mdb_sqla.stream_name import StreamName
from mdb_sqla.trying import Control, Retries, Trying, checkpoint

__all__ = ["Progress", "Settings"]


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
    in_flight: int | None
    sets_aside: bool
    poll: tuple[float, float]
    group: Group | None
    filters: CategoryFilters


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
        self._trying = Trying(claim.consumer, claim.slot, settings.retries, control)
        self._done: set[int] = set()  # what was delivered beyond what is saved
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
        size = settings.in_flight or settings.transaction_size
        for number in range(0, len(messages), size):
            yield from self._handle(messages[number : number + size])
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
        last = messages[-1].global_position
        failures: list[Failure] = []
        while True:
            # Not what was delivered before a later one of its stream failed: that is done.
            waiting = [
                message
                for message in messages
                if message.stream_name in self._blocked
                and message.global_position not in self._done
            ]
            calls = [
                (handler, message)
                for message in messages
                if message.stream_name not in self._blocked
                and (handler := self._handlers.find(message)) is not None
            ]
            step = self._step(calls, partial(self._finish, last, waiting, failures))
            try:
                if calls:
                    yield from self._trying.until_done(step)
                elif waiting:
                    yield Transact(step.finish)
            except HandlerFailed as failure:
                if isinstance(step, Deliver):
                    failures += yield from self._failed_for_good(failure, step)
                elif not self._settings.sets_aside:
                    raise
                elif len(messages) == 1:
                    failures.append(Failure.of(failure))
                else:
                    # It is not known which of them it was.
                    for message in messages:
                        yield from self._handle([message])
                    return
                self._blocked.update(each.message.stream_name for each in failures)
            else:
                break
        self._control.rate.add(len(calls))
        self._done.difference_update(message.global_position for message in messages)
        if calls or waiting:
            self._saved = last
        self._position = last

    def _failed_for_good(
        self, failure: HandlerFailed, step: Deliver
    ) -> Generator[Step, Any, list[Failure]]:
        """Return what has been tried as often as it may; where it isn't set aside, that's the end.

        All before the first of them is done.
        """
        attempts = self._settings.retries.attempts
        found = [each for each in step.failures.values() if each.tries >= attempts]
        if step.failures and (self._settings.sets_aside or not found):
            # What has failed less often had to wait for another, and is tried again.
            return found
        if step.failures:
            self._position = failure.message.global_position - 1
            yield from self.save()
        # Else it is none of the messages: that they are done could not be saved.
        raise failure

    def _finish(
        self,
        position: int,
        waiting: list[StoredMessage],
        failures: list[Failure],
        session: Session,
    ) -> None:
        for failure in failures:
            dead_letters.fail(self.claim, *failure, session)
        # What has just failed is among them, and stays as it is.
        dead_letters.set_aside(self.claim, waiting, session)
        positions.save(self.claim, position, session)

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
                    yield from self._trying.until_done(self._step([(handler, message)], remove))
                    self._control.rate.add(1)
                    self._done.discard(message.global_position)
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

    def _step(
        self, calls: list[tuple[Handler, StoredMessage]], finish: Callable[[Session], Any]
    ) -> Handle | Deliver:
        if self._settings.in_flight is None:
            return Handle(calls, finish)
        return Deliver(calls, finish, self._done)
