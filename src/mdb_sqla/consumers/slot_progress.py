"""A consumer's work on one slot: what is read, handled and saved."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from mdb_sqla.consumers import confirmed_read, positions, slot_failures
from mdb_sqla.consumers.claims import Claim
from mdb_sqla.consumers.confirmed_read import Confirmation
from mdb_sqla.consumers.handlers import Handler, Handlers
from mdb_sqla.consumers.history_anchor import Anchor
from mdb_sqla.consumers.operations import (
    Deliver,
    Failure,
    Handle,
    Step,
    Transact,
)
from mdb_sqla.consumers.retries import Control, Retrier, checkpoint
from mdb_sqla.consumers.settings import Settings
from mdb_sqla.consumers.slot_position import SlotPosition
from mdb_sqla.errors import HandlerFailed
from mdb_sqla.store.read_arguments import CategoryFilters
from mdb_sqla.words.message import StoredMessage

__all__ = ["Progress"]


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
        self.position = SlotPosition(claim, position, settings.start)
        self._settings = settings
        self._handlers = handlers
        self._control = control
        self._filters = filters
        self._trying = Retrier(claim.consumer, claim.slot, settings.retry_policy, control)
        self._done: set[UUID] = set()  # ids of what was delivered beyond what is saved
        self._blocked: set[str] = set()  # streams of which messages are set aside

    def advance(
        self, *, idle: bool = False, until: float = math.inf
    ) -> Generator[Step, Any, tuple[bool, bool]]:
        """Read a batch and handle it; returns whether there was any, and whether there is more.

        Args:
            idle: whether there is time to save a position that has not come far.
            until: by `time.monotonic()`, when to leave the rest of the batch for another time.

        Raises:
            SlotLost: the slot is no longer held here.
            HandlerFailed: a handler has failed for good.
            Stopped: the consumer was stopped.
        """
        settings = self._settings
        replayed = 0
        if settings.dead_letters_failures:
            replayed = yield from self._replay()
        confirmation, messages, settled = yield Transact(self._fetch)
        self.position.check(confirmation)
        size = settings.max_in_flight or settings.transaction_size
        for number in range(0, len(messages), size):
            yield from self._handle(messages[number : number + size])
            yield from checkpoint(self._control)
            if time.monotonic() >= until and number + size < len(messages):
                yield from self.position.save(at_least=settings.batch_size)
                return True, True
        full = len(messages) == settings.batch_size
        if not full and settled is not None and settled.global_position > self.position.reached:
            self.position.move(settled)
        yield from self.position.save(at_least=1 if idle else settings.batch_size)
        return bool(replayed or messages), full or replayed == settings.batch_size

    def renew(self) -> Generator[Step, Any, None]:
        """Go on where the database has the slot. See `SlotPosition.renew`."""
        if (yield from self.position.renew()):
            # What was delivered beyond the old position says nothing of the new one.
            self._done.clear()

    def _fetch(self, session: Session) -> tuple[Confirmation, list[StoredMessage], Anchor | None]:
        settings = self._settings
        # Before the read: what is settled by then, the read sees.
        settled = None
        if settings.dead_letters_failures:
            # Others may have left something out since.
            self._blocked = slot_failures.blocked_streams(self.claim, session)
        if self._filters:
            one = settings.categories[0] if len(settings.categories) == 1 else None
            settled = confirmed_read.settled(session, one)
        found, messages = confirmed_read.read(
            session,
            self.claim,
            self.position.anchor,
            settings.categories,
            self.position.reached + 1,
            settings.batch_size,
            self._filters,
        )
        return found, messages, settled

    def _handle(self, messages: list[StoredMessage]) -> Generator[Step, Any, None]:
        last = messages[-1]
        failures: list[Failure] = []
        while True:
            # Not what was delivered before a later one of its stream failed: that is done.
            waiting = [
                message
                for message in messages
                if message.stream_name in self._blocked and message.id not in self._done
            ]
            calls = [
                (handler, message)
                for message in messages
                if message.stream_name not in self._blocked
                and (handler := self._handlers.find(message)) is not None
            ]
            # What is skipped has no effects; that the last is there says enough of it.
            handled = [message for _, message in calls]
            read = sorted({Anchor.of(message) for message in [*handled, *waiting, last]})
            step = self._step(calls, partial(self._finish, read, waiting, failures))
            try:
                if calls:
                    yield from self._trying.until_done(step)
                elif waiting:
                    yield Transact(step.finish)
            except HandlerFailed as failure:
                if isinstance(step, Deliver):
                    failures += yield from self._failed_for_good(failure, step, messages)
                elif not self._settings.dead_letters_failures:
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
        self._done.difference_update(message.id for message in messages)
        self.position.move(Anchor.of(last))
        if calls or waiting:
            self.position.note_saved()

    def _failed_for_good(
        self, failure: HandlerFailed, step: Deliver, messages: list[StoredMessage]
    ) -> Generator[Step, Any, list[Failure]]:
        """Return what has been tried as often as it may; where it isn't set aside, that's the end.

        All before the first of them is done.
        """
        attempts = self._settings.retry_policy.max_attempts
        found = [each for each in step.failures.values() if each.attempts >= attempts]
        if step.failures and (self._settings.dead_letters_failures or not found):
            # What has failed less often had to wait for another, and is tried again.
            return found
        position = failure.message.global_position
        before = [message for message in messages if message.global_position < position]
        if step.failures and before:
            self.position.move(Anchor.of(before[-1]))
            yield from self.position.save()
        # Else it is none of the messages: that they are done could not be saved.
        raise failure

    def _finish(
        self,
        read: list[Anchor],
        waiting: list[StoredMessage],
        failures: list[Failure],
        session: Session,
    ) -> None:
        for failure in failures:
            slot_failures.fail(self.claim, *failure, session)
        # What has just failed is among them, and stays as it is.
        slot_failures.set_aside(self.claim, waiting, session)
        reached = read[-1].global_position
        positions.save(self.claim, self.position.saved, reached, read, session)

    def _replay(self) -> Generator[Step, Any, int]:
        """Handle what was set aside and waits for nothing more; returns how many there were."""
        limit = self._settings.batch_size
        messages: list[StoredMessage] = yield Transact(
            partial(slot_failures.due, self.claim, limit)
        )
        failed: set[str] = set()
        for message in messages:
            if message.stream_name in failed:
                continue
            handler = self._handlers.find(message)
            remove = partial(slot_failures.remove, self.claim, message)
            try:
                if handler is None:
                    yield Transact(remove)
                else:
                    yield from self._trying.until_done(self._step([(handler, message)], remove))
                    self._control.rate.add(1)
                    self._done.discard(message.id)
            except slot_failures.LeftOut:
                pass
            except HandlerFailed as failure:
                failed.add(message.stream_name)
                error = failure.__cause__ or failure
                yield Transact(
                    partial(slot_failures.fail_again, self.claim, message, error, failure.attempts)
                )
            yield from checkpoint(self._control)
        return len(messages)

    def _step(
        self, calls: list[tuple[Handler, StoredMessage]], finish: Callable[[Session], Any]
    ) -> Handle | Deliver:
        if self._settings.max_in_flight is None:
            return Handle(calls, finish, self._settings.isolation_level)
        return Deliver(calls, finish, self._done)
