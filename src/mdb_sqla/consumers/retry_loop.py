"""Retries of handlers."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from tenacity import RetryCallState, Retrying, wait_exponential, wait_random_exponential

from mdb_sqla.consumers.loop_operations import (
    ConnectionLost,
    Deliver,
    Failure,
    Handle,
    HandlerConflict,
    Interrupted,
    NoTransaction,
    Operation,
)
from mdb_sqla.consumers.message_log import log_attempt
from mdb_sqla.consumers.recorded_operations import count_failure, count_retry
from mdb_sqla.consumers.retry_policy import RetryPolicy
from mdb_sqla.consumers.run_control import Control, sleep, wait_if_paused
from mdb_sqla.consumers.slot_failures import DeadLetterGone
from mdb_sqla.errors import HandlerFailed, ProjectionRefused, SlotLost, Unavailable

__all__ = ["Retrier"]

_MAX_CONFLICTS = 100  # of one transaction, in a row; one more counts as a failure
_NOT_THE_HANDLERS = (
    DeadLetterGone, Interrupted, NoTransaction, ProjectionRefused, SlotLost, Unavailable,
)  # fmt: skip
_AFTER_CONFLICT = wait_random_exponential(multiplier=0.01, max=1)  # seconds


class Retrier:
    """Calls handlers until they succeed, within the consumer's retry policy.

    Args:
        consumer: the consumer's name.
        slot: the slot of the messages.
        policy: the retry policy.
        control: may stop the consumer between attempts.
    """

    def __init__(self, consumer: str, slot: int, policy: RetryPolicy, control: Control) -> None:
        self._consumer = consumer
        self._slot = slot
        self._policy = policy
        self._after_failure = wait_exponential(
            multiplier=policy.initial_interval, max=policy.max_interval
        )
        self._control = control
        # A global position, and how often its handler lost the connection.
        self._lost_connections = 0, 0

    def until_done(self, operation: Handle | Deliver) -> Generator[Operation, Any, None]:
        """Call the handlers until all of them have succeeded.

        Raises:
            HandlerFailed: all attempts have failed.
            Interrupted: the server is unavailable.
            Unavailable: a resource that a handler needs is unavailable.
            SlotLost: another process has taken over the slot.
            ProjectionRefused: the handlers are those of a projection, whose state has changed.
            NoTransaction: the isolation level is AUTOCOMMIT.
            Stopped: the consumer was stopped.
            PausedInDatabase: the consumer is paused in the database. After the pause, attempts
                are counted anew.
        """
        policy = self._policy
        failures = conflicts = 0
        _, first = operation.calls[0]
        if self._lost_connections[0] != first.global_position:
            self._lost_connections = first.global_position, 0
        while True:
            try:
                yield operation
                return
            except ConnectionLost as error:
                # The handler itself may cause this, every time.
                attempts = self._lost_connections[1] + 1
                self._lost_connections = first.global_position, attempts
                if attempts < policy.max_attempts:
                    raise
                message = operation.current or first
                if isinstance(operation, Deliver):
                    failure = Failure(message, error.__cause__ or error, attempts)
                    operation.failures[message.global_position] = failure
                count_failure(self._consumer, message, error.__cause__ or error)
                raise HandlerFailed(self._consumer, message, attempts) from error
            except HandlerConflict as error:
                conflicts += 1
                if conflicts == _MAX_CONFLICTS:
                    message = operation.current or first
                    count_failure(self._consumer, message, error.__cause__ or error)
                    raise HandlerFailed(self._consumer, message, conflicts) from error
                pause, failed = _AFTER_CONFLICT(_attempt(conflicts)), False
            except _NOT_THE_HANDLERS:
                raise
            except Exception as error:
                # The handler's own error.
                failures += 1
                message = operation.current or first
                if isinstance(operation, Handle):
                    count_failure(self._consumer, message, error)
                failure = Failure(message, error, failures)
                log_attempt(self._consumer, self._slot, failure, policy.max_attempts)
                if failures >= policy.max_attempts:
                    raise HandlerFailed(self._consumer, message, failures) from error
                pause, failed = self._after_failure(_attempt(failures)), True
            yield from self._wait(pause)
            if failed:
                count_retry(self._consumer, operation)

    def _wait(self, seconds: float) -> Generator[Operation, Any, None]:
        """Wait for the next attempt."""
        yield from sleep(seconds, self._control)
        # A failed attempt has not read it.
        self._control.outdated = True
        yield from wait_if_paused(self._control)


def _attempt(number: int) -> RetryCallState:
    """Return what the library derives a pause from. A call that succeeds at once has none."""
    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = number
    return state
