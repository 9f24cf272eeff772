"""The work on one slot: reading messages, handling them, saving the position."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from mdb_sqla.consumers import batch_read, saved_positions, slot_failures
from mdb_sqla.consumers.batch_read import Batch
from mdb_sqla.consumers.claims import Claim
from mdb_sqla.consumers.dead_letter_replay import DeadLetterReplay
from mdb_sqla.consumers.handlers import Handlers
from mdb_sqla.consumers.loop_operations import (
    Deliver,
    Failure,
    Operation,
    Transact,
    handler_operation,
)
from mdb_sqla.consumers.message_log import log_dead_letters, log_erased
from mdb_sqla.consumers.recorded_operations import count_dead_letters, recorded_read
from mdb_sqla.consumers.retry_loop import Retrier
from mdb_sqla.consumers.rewind_check import Anchor
from mdb_sqla.consumers.run_control import Control, wait_if_paused
from mdb_sqla.consumers.settings import Settings
from mdb_sqla.consumers.slot_position import SlotPosition
from mdb_sqla.consumers.standby_batch import StandbyReader
from mdb_sqla.errors import HandlerFailed
from mdb_sqla.store.read_arguments import CategoryFilters
from mdb_sqla.words.message import StoredMessage

__all__ = ["SlotProgress"]


class SlotProgress:
    """The work on a slot that this process holds."""

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
        self.position = SlotPosition(claim, position, settings)
        self._settings = settings
        self._handlers = handlers
        self._control = control
        self._filters = filters
        self._standby_reader = (
            None
            if settings.read_from is None
            else StandbyReader(settings, settings.read_from, claim, filters, control)
        )
        self._retrier = Retrier(claim.consumer, claim.slot, settings.retry_policy, control)
        self._done: set[UUID] = set()  # ids delivered beyond the saved position
        self._blocked: set[str] = set()  # streams with dead letters
        self._replay = DeadLetterReplay(
            settings, handlers, control, claim, self._retrier, self._done
        )

    def advance(
        self, *, idle: bool = False, until: float = math.inf
    ) -> Generator[Operation, Any, tuple[bool, bool]]:
        """Read a batch and handle it; return whether there was one, and whether there is more.

        Args:
            idle: whether to save a position that has advanced by less than a batch.
            until: when to stop within the batch, as a time of `time.monotonic()`.

        Raises:
            SlotLost: another process has taken over the slot.
            HandlerFailed: all attempts to handle a message have failed.
            Stopped: the consumer was stopped.
            PausedInDatabase: the consumer is paused in the database.
        """
        yield from wait_if_paused(self._control)
        settings = self._settings
        replayed = 0
        if settings.dead_letters_failures:
            replayed = yield from self._replay.batch()
        read = recorded_read(self._read(), self.claim.consumer)
        confirmation, messages, settled, _ = yield from read
        self.position.check(confirmation)
        self._control.paused_in_database = self.position.is_paused
        yield from wait_if_paused(self._control)
        log_erased(
            self.claim, [m.global_position for m in messages if self._handlers.is_skipped(m)]
        )
        size = settings.max_in_flight or settings.transaction_size
        for number in range(0, len(messages), size):
            yield from self._handle(messages[number : number + size])
            yield from wait_if_paused(self._control)
            if time.monotonic() >= until and number + size < len(messages):
                yield from self.position.save(at_least=settings.batch_size)
                return True, True
        full = len(messages) == settings.batch_size
        if not full and settled is not None and settled.global_position > self.position.reached:
            self.position.advance(settled)
        yield from self.position.save(at_least=1 if idle else settings.batch_size)
        return bool(replayed or messages), full or replayed == settings.batch_size

    def reload(self) -> Generator[Operation, Any, None]:
        """Continue at the position in the database. See `SlotPosition.reload`."""
        if (yield from self.position.reload()):
            # Deliveries beyond the old position don't count for the new one.
            self._done.clear()
        self._control.paused_in_database = self.position.is_paused

    def _read(self) -> Generator[Operation, Any, Batch]:
        if self._standby_reader is not None:
            batch = yield from self._standby_reader.batch(
                self.position.reached, self.position.anchor, self._read_blocked
            )
            if batch is not None:
                return batch
        fetched: Batch = yield Transact(self._fetch)
        return fetched if self._standby_reader is None else fetched._replace(server="primary")

    def _read_blocked(self, session: Session) -> None:
        if self._settings.dead_letters_failures:
            # Dead letters may have been skipped since the last read.
            self._blocked = slot_failures.blocked_streams(self.claim, session)

    def _fetch(self, session: Session) -> Batch:
        settings = self._settings
        # Determined before the read, which then sees everything settled.
        settled = None
        self._read_blocked(session)
        if self._filters:
            one = settings.categories[0] if len(settings.categories) == 1 else None
            settled = batch_read.settled(session, one)
        found, messages = batch_read.read(
            session,
            self.claim,
            self.position.anchor,
            settings.categories,
            self.position.reached + 1,
            settings.batch_size,
            self._filters,
        )
        return Batch(found, messages, settled)

    def _handle(self, messages: list[StoredMessage]) -> Generator[Operation, Any, None]:
        last = messages[-1]
        failures: list[Failure] = []
        while True:
            # Except messages that were delivered before a later message of their stream failed.
            blocked = [
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
            # Skipped messages have no effects, so it is enough to check the last one.
            handled = [message for _, message in calls]
            checked = {each.global_position for each in (*handled, *blocked, last)}
            read = [Anchor.of(each) for each in messages if each.global_position in checked]
            finish = partial(self._finish, read, blocked, failures)
            operation = handler_operation(self._settings, calls, finish, self._done)
            try:
                if calls:
                    yield from self._retrier.until_done(operation)
                elif blocked:
                    yield Transact(operation.finish)
            except HandlerFailed as failure:
                if isinstance(operation, Deliver):
                    failures += yield from self._final_failures(failure, operation, messages)
                elif not self._settings.dead_letters_failures:
                    raise
                elif len(messages) == 1:
                    failures.append(Failure.of(failure))
                else:
                    # Any of them may be at fault: handle each in its own transaction.
                    for message in messages:
                        yield from self._handle([message])
                        yield from wait_if_paused(self._control)
                    return
                self._blocked.update(each.message.stream_name for each in failures)
            else:
                break
        log_dead_letters(self.claim, failures)
        count_dead_letters(self.claim.consumer, failures, blocked)
        self._control.rate.add(len(calls))
        if self._done:
            self._done.difference_update(message.id for message in messages)
        self.position.advance(Anchor.of(last))
        if calls or blocked:
            self.position.mark_saved()

    def _final_failures(
        self, failure: HandlerFailed, operation: Deliver, messages: list[StoredMessage]
    ) -> Generator[Operation, Any, list[Failure]]:
        """Return the failures that have no attempts left, or raise if they are not dead-lettered.

        If it raises, everything before the first message that is not handled is saved.
        """
        attempts = self._settings.retry_policy.max_attempts
        found = [each for each in operation.failures.values() if each.attempts >= attempts]
        if operation.failures and (self._settings.dead_letters_failures or not found):
            # Messages with attempts left are retried.
            return found
        # Not up to the failure: an earlier message may not have been handled, either.
        left = [m.global_position for _, m in operation.calls if m.id not in operation.done]
        first = min(left, default=0)
        before = [each for each in messages if each.global_position < first]
        if operation.failures and before:
            self.position.advance(Anchor.of(before[-1]))
            yield from self.position.save()
        # Without failures, all messages were handled, but saving the position failed.
        raise failure

    def _finish(
        self,
        read: list[Anchor],
        blocked: list[StoredMessage],
        failures: list[Failure],
        session: Session,
    ) -> None:
        for failure in failures:
            slot_failures.add_failed(self.claim, *failure, session)
        # These include the failed messages, whose rows stay unchanged.
        slot_failures.add_blocked(self.claim, blocked, session)
        reached = read[-1].global_position
        is_old = self._control.is_old
        is_paused = saved_positions.save(
            self.claim, self.position.saved, reached, read, session, with_pause=is_old
        )
        if is_old:
            self._control.paused_in_database = is_paused
