"""The loop of a consumer, as the steps that a driver does for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from mdb_sqla.consumers.handlers import Handlers
from mdb_sqla.consumers.heartbeat import Beat
from mdb_sqla.consumers.operations import Forgotten, Interrupted, Pause, Steps, Unconfirmed
from mdb_sqla.consumers.retries import Control, Stopped, checkpoint, log, rest
from mdb_sqla.consumers.settings import Settings
from mdb_sqla.consumers.slot_assignment import Assignment
from mdb_sqla.consumers.stall_watch import StallWatch
from mdb_sqla.errors import Unavailable

__all__ = ["Consumption"]

_LONGEST_OUTAGE = 10.0  # seconds between two attempts to reach the server, or what handlers need


class Consumption:
    """One run of a consumer, from its start to its end.

    Args:
        settings: the consumer's.
        handlers: the consumer's.
        endless: whether it goes on when there is nothing more.
        on_begin: is called once, when the consumer has its place in the database.

    Raises:
        InvalidArgument: the consumer has no handlers.
    """

    def __init__(
        self,
        settings: Settings,
        handlers: Handlers,
        *,
        endless: bool,
        on_begin: Callable[[], object] | None = None,
    ) -> None:
        handlers.refuse_none(settings.name)
        self._settings = settings
        self._endless = endless
        self._on_begin = on_begin
        self.control = Control()
        self._assignment = Assignment(settings, handlers, self.control)
        self._stall_watch = StallWatch(settings.name, settings.categories)

    @property
    def beat(self) -> Beat | None:
        """What keeps a member of a group alive while a handler takes long."""
        if (membership := self._assignment.membership) is None:
            return None
        return Beat(membership.beat, membership.group.lease / 3)

    def steps(self) -> Steps:
        """Consume, and go on where the connection was lost."""
        try:
            yield from self._persist()
        except GeneratorExit:
            raise
        except BaseException as error:
            # Others need not wait until the lease has run out.
            with suppress(Exception):
                yield from self._assignment.leave()
            if not isinstance(error, Stopped):
                raise
        self._log(logging.INFO, "stops")

    def _persist(self) -> Steps:
        outages = _growing(self._settings.poll_interval[1], _LONGEST_OUTAGE)
        while True:
            began = time.monotonic()
            try:
                yield from self._consume()
                return
            except Unconfirmed as error:
                level = logging.INFO if isinstance(error, Forgotten) else logging.WARNING
                self._log(level, "reads its position again: %s", error)
                pause = self._settings.poll_interval[0]
            except Interrupted as error:
                self._log(logging.WARNING, "was interrupted, and continues soon", error=error)
                pause = next(outages)
            if time.monotonic() - began > _LONGEST_OUTAGE:
                outages = _growing(self._settings.poll_interval[1], _LONGEST_OUTAGE)
            yield from rest(pause, self.control)

    def _consume(self) -> Steps:
        yield from self._assignment.begin()
        if self._on_begin is not None:
            self._on_begin()
            self._on_begin = None
        self._log(logging.INFO, "goes on")
        with suppress(Stopped):
            yield from self._follow()
        yield from self._assignment.save()
        yield from self._assignment.leave()

    def _follow(self) -> Steps:
        first, longest = self._settings.poll_interval
        pauses, pause = _growing(first, longest), 0.0
        outages = _growing(first, _LONGEST_OUTAGE)
        while True:
            yield from checkpoint(self.control)
            found = behind = False
            try:
                for slot in sorted((yield from self._assignment.share())):
                    if slot not in (yield from self._assignment.share()):
                        continue
                    some, full = yield from self._assignment.advance(slot, idle=pause == longest)
                    found, behind = found or some, behind or full
            except Unavailable as error:
                # For one slot or for all of them.
                outage = next(outages)
                self._log(logging.WARNING, "waits for %.3g seconds: %s", outage, error)
                yield from rest(outage, self.control)
                continue
            outages = _growing(first, _LONGEST_OUTAGE)
            if not self._endless and not behind:
                return
            if found:
                self._stall_watch.reset()
            elif (position := self._assignment.position) is not None:
                yield from self._stall_watch.look(position)
            pause = 0.0 if found else next(pauses)
            if found or (yield Pause(pause)):
                pauses = _growing(first, longest)

    def _log(self, level: int, what: str, *values: object, error: Exception | None = None) -> None:
        log(level, self._settings.name, what, *values, error=error)


def _growing(first: float, longest: float) -> Iterator[float]:
    while True:
        yield first
        first = min(2 * first, longest)
