"""The consumer's loop, a generator of operations that a runner performs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

from mdb_sqla.consumers.consumer_pause import ConsumerPause, read_pause
from mdb_sqla.consumers.handlers import Handlers
from mdb_sqla.consumers.heartbeat import Heartbeat
from mdb_sqla.consumers.loop_operations import (
    AnchorDeleted,
    AnchorMissing,
    Interrupted,
    Pause,
    Routine,
    StateMismatch,
    Transact,
)
from mdb_sqla.consumers.run_control import (
    Control,
    PausedInDatabase,
    Stopped,
    back_off,
    log,
    sleep,
    wait_if_paused,
    wait_until_resumed,
)
from mdb_sqla.consumers.settings import Settings
from mdb_sqla.consumers.slot_assignment import SlotAssignment
from mdb_sqla.consumers.stall_watch import StallWatch
from mdb_sqla.errors import ConsumerPaused, Unavailable

__all__ = ["ConsumerLoop"]

_LEVELS = {AnchorDeleted: logging.DEBUG, AnchorMissing: logging.INFO}
_LONGEST_RETRY = 10.0  # seconds between attempts to reach the server or a resource of handlers


class ConsumerLoop:
    """One run of a consumer.

    Args:
        settings: the consumer's settings.
        handlers: the consumer's handlers.
        endless: whether to wait for more messages instead of returning.
        on_start: called once, after the consumer has claimed its slot or joined its group.

    Raises:
        InvalidArgument: the consumer has no handlers.
    """

    def __init__(
        self,
        settings: Settings,
        handlers: Handlers,
        *,
        endless: bool,
        on_start: Callable[[], object] | None = None,
    ) -> None:
        handlers.check_any(settings.name)
        self._settings = settings
        self._endless = endless
        self._on_start = on_start
        self.control = Control(settings.name)
        self._assignment = SlotAssignment(settings, handlers, self.control)
        self._stall_watch = StallWatch(settings.name, settings.categories)

    @property
    def heartbeat(self) -> Heartbeat | None:
        """The heartbeat that renews a group member's lease, even while a handler runs for long."""
        if (membership := self._assignment.membership) is None:
            return None
        lease = membership.group.lease
        return Heartbeat(self._settings.name, membership.renew_lease, lease / 3)

    def operations(self) -> Routine:
        """Consume until stopped, reconnecting after outages."""
        try:
            yield from self._consume_with_retries()
        except GeneratorExit:
            raise
        except BaseException as error:
            # Leave, so other members need not wait for the lease to expire.
            with suppress(Exception):
                yield from self._assignment.leave()
            if not isinstance(error, Stopped):
                raise
        log(logging.INFO, self._settings.name, "consumer.stopped", "stopped")

    def _consume_with_retries(self) -> Routine:
        first = min(self._settings.poll_interval[1], _LONGEST_RETRY)
        retries = _backoff(first, _LONGEST_RETRY)
        while True:
            started = time.monotonic()
            try:
                yield from self._wait_until_resumed()
                yield from self._consume()
                return
            except PausedInDatabase:
                continue
            except StateMismatch as error:
                level = _LEVELS.get(type(error), logging.WARNING)
                log(
                    level,
                    self._settings.name,
                    "consumer.reloading",
                    "is reloading its position: %s",
                    error,
                    reason=str(error),
                )
                pause = self._settings.poll_interval[0]
            except Interrupted as error:
                pause = next(retries)
                log(
                    logging.WARNING,
                    self._settings.name,
                    "consumer.interrupted",
                    "was interrupted; retrying in %.3g s",
                    pause,
                    error=error,
                    retry_seconds=pause,
                )
            if time.monotonic() - started > _LONGEST_RETRY:
                retries = _backoff(first, _LONGEST_RETRY)
            yield from back_off(pause, self.control)

    def _wait_until_resumed(self) -> Routine:
        """Wait while the consumer is paused in the database; it keeps its slots."""
        if not self.control.paused_in_database:
            return
        name = self._settings.name
        pause: ConsumerPause | None = yield Transact(partial(read_pause, name))
        if pause is None:
            self.control.paused_in_database = False
        elif self._endless:
            yield from wait_until_resumed(self.control, pause, self._settings.poll_interval[1])
        else:
            raise ConsumerPaused(name, *pause)

    def _consume(self) -> Routine:
        yield from self._assignment.begin()
        if self._on_start is not None:
            self._on_start()
            self._on_start = None
        self._log_start()
        with suppress(Stopped):
            yield from self._poll()
        yield from self._assignment.save()
        yield from self._assignment.leave()

    def _poll(self) -> Routine:
        first, longest = self._settings.poll_interval
        pauses, pause = _backoff(first, longest), 0.0
        retries = _backoff(first, _LONGEST_RETRY)
        while True:
            yield from wait_if_paused(self.control)
            found = behind = False
            try:
                for slot in sorted((yield from self._assignment.share())):
                    if slot not in (yield from self._assignment.share()):
                        continue
                    some, full = yield from self._assignment.advance(slot, idle=pause == longest)
                    found, behind = found or some, behind or full
            except Unavailable as error:
                # For one slot, or for all of them.
                delay = next(retries)
                log(
                    logging.WARNING,
                    self._settings.name,
                    "consumer.blocked",
                    "is blocked; retrying in %.3g s: %s",
                    delay,
                    error,
                    reason=str(error),
                    retry_seconds=delay,
                )
                yield from sleep(delay, self.control)
                continue
            retries = _backoff(first, _LONGEST_RETRY)
            if not self._endless and not behind:
                return
            if found:
                self._stall_watch.reset()
            elif (position := self._assignment.position) is not None:
                yield from self._stall_watch.check(position)
            pause = 0.0 if found else next(pauses)
            if found or (yield Pause(pause)):
                pauses = _backoff(first, longest)

    def _log_start(self) -> None:
        name, position = self._settings.name, self._assignment.position
        if (membership := self._assignment.membership) is None:
            log(
                logging.INFO,
                name,
                "consumer.started",
                "started at position %d",
                position,
                position=position,
            )
        else:
            member = membership.group.member_name
            log(
                logging.INFO, name, "consumer.joined", "started as member %s", member, member=member
            )


def _backoff(first: float, longest: float) -> Iterator[float]:
    while True:
        yield first
        first = min(2 * first, longest)
