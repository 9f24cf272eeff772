"""The replay of a slot's dead letters."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from mdb_sqla.consumers import slot_failures
from mdb_sqla.consumers.claims import Claim
from mdb_sqla.consumers.consumer_pause import read_pause
from mdb_sqla.consumers.handlers import Handlers
from mdb_sqla.consumers.loop_operations import Operation, Transact, handler_operation
from mdb_sqla.consumers.retry_loop import Retrier
from mdb_sqla.consumers.run_control import Control, wait_if_paused
from mdb_sqla.consumers.settings import Settings
from mdb_sqla.errors import HandlerFailed
from mdb_sqla.words.message import StoredMessage

__all__ = ["DeadLetterReplay"]


class DeadLetterReplay:
    """Handles the dead letters of a slot again, in streams where none has failed since.

    Args:
        settings: the consumer's settings.
        handlers: the consumer's handlers.
        control: may stop or pause the consumer.
        claim: the claim to the slot.
        retrier: calls the handlers.
        done: the ids of messages that were delivered beyond the saved position.
    """

    def __init__(
        self,
        settings: Settings,
        handlers: Handlers,
        control: Control,
        claim: Claim,
        retrier: Retrier,
        done: set[UUID],
    ) -> None:
        self._settings = settings
        self._handlers = handlers
        self._control = control
        self._claim = claim
        self._retrier = retrier
        self._done = done

    def batch(self) -> Generator[Operation, Any, int]:
        """Handle a batch of dead letters, and return their number.

        Raises:
            SlotLost: another process has taken over the slot.
            Stopped: the consumer was stopped.
            PausedInDatabase: the consumer is paused in the database.
        """
        messages: list[StoredMessage] = yield Transact(self._read)
        yield from wait_if_paused(self._control)
        failed: set[str] = set()
        for message in messages:
            if message.stream_name in failed:
                continue
            handler = self._handlers.find(message)
            remove = partial(self._remove, message)
            try:
                if handler is None:
                    yield Transact(remove)
                else:
                    calls = [(handler, message)]
                    operation = handler_operation(self._settings, calls, remove, self._done)
                    yield from self._retrier.until_done(operation)
                    self._control.rate.add(1)
                    self._done.discard(message.id)
            except slot_failures.DeadLetterGone:
                pass
            except HandlerFailed as failure:
                failed.add(message.stream_name)
                error = failure.__cause__ or failure
                yield Transact(partial(self._record_failure, message, error, failure.attempts))
            yield from wait_if_paused(self._control)
        return len(messages)

    def _read(self, session: Session) -> list[StoredMessage]:
        limit = self._settings.batch_size
        messages = slot_failures.replayable(self._claim, limit, session)
        if messages:
            pause = read_pause(self._claim.consumer, session)
            self._control.paused_in_database = pause is not None
        return messages

    def _remove(self, message: StoredMessage, session: Session) -> None:
        self._control.paused_in_database = slot_failures.remove(self._claim, message, session)

    def _record_failure(
        self, message: StoredMessage, error: BaseException, attempts: int, session: Session
    ) -> None:
        self._control.paused_in_database = slot_failures.record_failed_replay(
            self._claim, message, error, attempts, session
        )
