"""Retrying handlers, and what may stop a consumer in between."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

from tenacity import (
    DoAttempt,
    DoSleep,
    RetryCallState,
    Retrying,
    stop_after_attempt,
    wait_exponential,
    wait_random_exponential,
)

from mdb_sqla.consumers.operations import (
    Conflicted,
    CutOff,
    Deliver,
    Failure,
    Handle,
    Interrupted,
    NoTransaction,
    Pause,
    Step,
)
from mdb_sqla.consumers.rate import Rate
from mdb_sqla.consumers.retry_policy import RetryPolicy
from mdb_sqla.consumers.slot_failures import LeftOut
from mdb_sqla.errors import HandlerFailed, SlotLost, Unavailable

__all__ = ["Control", "Retrier", "Stopped", "checkpoint", "log", "rest"]

_log = logging.getLogger("mdb_sqla.consumer")

_LONGEST_PAUSE = 60.0  # seconds; whoever ends it wakes the consumer

_MOST_CONFLICTS = 100  # one after the other, of one transaction; then it is taken for a failure
_AFTER_CONFLICT = wait_random_exponential(multiplier=0.01, max=1)  # seconds


class Stopped(Exception):
    """The consumer was stopped between two things that it does."""


@dataclass
class Control:
    """What a consumer has been told from outside, and tells.

    Attributes:
        stopping: whether to finish what is in hand, and end.
        paused: whether to handle nothing more for now.
        rate: of messages that were handled.
    """

    stopping: bool = False
    paused: bool = False
    rate: Rate = field(default_factory=Rate)


class Retrier:
    """Calls handlers until they succeed, as often as the consumer's retry policy says.

    Args:
        consumer: the consumer's name.
        slot: what it works on.
        policy: how often, and with which pauses.
        control: what may stop it in between.
    """

    def __init__(self, consumer: str, slot: int, policy: RetryPolicy, control: Control) -> None:
        self._consumer = consumer
        self._slot = slot
        self._policy = policy
        self._control = control
        self._cut_off = 0, 0  # a global position, and how often its handler lost the connection

    def until_done(self, step: Handle | Deliver) -> Generator[Step, Any, None]:
        """Have the handlers called until all have succeeded.

        Raises:
            HandlerFailed: one has failed as often as it may.
            Interrupted: the server is away.
            Unavailable: what a handler needs is away.
            SlotLost: the slot is no longer held here.
            NoTransaction: handlers can have none.
            Stopped: the consumer was stopped.
        """
        policy = self._policy
        retrying = Retrying(
            stop=stop_after_attempt(policy.max_attempts),
            wait=wait_exponential(multiplier=policy.initial_interval, max=policy.max_interval),
            reraise=True,
        )
        # As tenacity's own loops do it, but here it is a driver that calls and sleeps.
        retrying.begin()
        state = RetryCallState(retrying, None, (), {})
        conflicts = RetryCallState(retrying, None, (), {})
        _, first = step.calls[0]
        if self._cut_off[0] != first.global_position:
            self._cut_off = first.global_position, 0
        while True:
            try:
                do = retrying.iter(state)
            except Exception as error:
                # The last one, for it has been tried as often as it may.
                message = step.current or first
                raise HandlerFailed(self._consumer, message, state.attempt_number) from error
            if isinstance(do, DoAttempt):
                try:
                    state.set_result((yield step))
                except CutOff as error:
                    # It may be the handler itself that does it, every time.
                    attempts = self._cut_off[1] + 1
                    self._cut_off = first.global_position, attempts
                    if attempts < policy.max_attempts:
                        raise
                    message = step.current or first
                    if isinstance(step, Deliver):
                        failure = Failure(message, error.__cause__ or error, attempts)
                        step.failures[message.global_position] = failure
                    raise HandlerFailed(self._consumer, message, attempts) from error
                except Conflicted as error:
                    attempts = conflicts.attempt_number
                    if attempts == _MOST_CONFLICTS:
                        raise HandlerFailed(
                            self._consumer, step.current or first, attempts
                        ) from error
                    yield from rest(_AFTER_CONFLICT(conflicts), self._control)
                    conflicts.prepare_for_next_attempt()
                except (Interrupted, Unavailable, SlotLost, LeftOut, NoTransaction):
                    # The handler is not at fault.
                    raise
                except Exception as error:
                    # Whatever it raises: it is the handler's own.
                    message = step.current or first
                    log(
                        logging.WARNING,
                        self._consumer,
                        "could not handle message %d of type %s",
                        message.global_position,
                        message.type,
                        error=error,
                        slot=self._slot,
                        attempt=state.attempt_number,
                    )
                    # Within an `except` none of the three is None, which its type can't tell.
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
