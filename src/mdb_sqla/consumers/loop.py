"""The loop of a consumer, as the steps that a driver does for it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from mdb_sqla.consumers import claims
from mdb_sqla.consumers.claims import Claim
from mdb_sqla.consumers.group import Membership
from mdb_sqla.consumers.handlers import Handlers
from mdb_sqla.consumers.heartbeat import Beat
from mdb_sqla.consumers.operations import (
    Forgotten,
    Interrupted,
    Pause,
    Step,
    Steps,
    Transact,
    Unconfirmed,
)
from mdb_sqla.consumers.positions import ClaimForgotten
from mdb_sqla.consumers.registry import Reads, register
from mdb_sqla.consumers.retries import Control, Stopped, checkpoint, log, rest
from mdb_sqla.consumers.settings import Settings
from mdb_sqla.consumers.slot_progress import Progress
from mdb_sqla.consumers.stall_watch import StallWatch
from mdb_sqla.errors import InvalidArgument, SlotLost, Unavailable
from mdb_sqla.store import reads
from mdb_sqla.store.read_arguments import CategoryFilters

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
        self._handlers = handlers
        self._endless = endless
        self._on_begin = on_begin
        self._held: dict[int, Progress] = {}
        self._share_at = math.inf
        self.membership = (
            None if settings.group is None else Membership(settings.name, settings.group)
        )
        self.control = Control()
        self._stall_watch = StallWatch(settings.name, settings.categories)

    @property
    def beat(self) -> Beat | None:
        """What keeps a member of a group alive while a handler takes long."""
        if self.membership is None:
            return None
        return Beat(self.membership.beat, self.membership.group.lease / 3)

    def steps(self) -> Steps:
        """Consume, and go on where the connection was lost."""
        try:
            yield from self._persist()
        except GeneratorExit:
            raise
        except BaseException as error:
            # Others need not wait until the lease has run out.
            with suppress(Exception):
                yield from self._leave()
            if not isinstance(error, Stopped):
                raise
        self._log(logging.INFO, "stops")

    def _persist(self) -> Steps:
        outages = _growing(self._settings.poll[1], _LONGEST_OUTAGE)
        while True:
            began = time.monotonic()
            try:
                yield from self._consume()
                return
            except Unconfirmed as error:
                level = logging.INFO if isinstance(error, Forgotten) else logging.WARNING
                self._log(level, "reads its position again: %s", error)
                pause = self._settings.poll[0]
            except Interrupted as error:
                self._log(logging.WARNING, "was interrupted, and continues soon", error=error)
                pause = next(outages)
            if time.monotonic() - began > _LONGEST_OUTAGE:
                outages = _growing(self._settings.poll[1], _LONGEST_OUTAGE)
            yield from rest(pause, self.control)

    def _consume(self) -> Steps:
        yield from self._begin()
        with suppress(Stopped):
            yield from self._follow()
        for progress in list(self._held.values()):
            with suppress(SlotLost):
                yield from progress.position.save()
        yield from self._leave()

    def _leave(self) -> Steps:
        if self.membership is not None and self.membership.may_have_joined:
            yield Transact(partial(self.membership.leave, held=self._claims()))

    def _begin(self) -> Steps:
        if self.membership is not None and not self.membership.joined:
            self.membership.may_have_joined = True
            yield Transact(self._join)
            self.membership.joined = True
        elif self.membership is None and not self._held:
            self._hold(*(yield Transact(self._take)))
        else:
            # Also after a failover that has lost it.
            yield Transact(self._register)
        for slot in list(self._held):
            yield from self._renew(slot)
        if self.membership is not None:
            self._share_at = 0.0
        if self._on_begin is not None:
            self._on_begin()
            self._on_begin = None
        self._log(logging.INFO, "goes on")

    def _renew(self, slot: int) -> Steps:
        """Begin with a slot, or begin again, where the database has it."""
        try:
            yield from self._held[slot].renew()
        except SlotLost:
            self._lose(slot)
        except ClaimForgotten:
            # Nobody has taken it over: an older state of the database is back.
            del self._held[slot]
            if self.membership is None:
                self._hold(*(yield Transact(self._take)))
                yield from self._renew(slot)

    def _follow(self) -> Steps:
        first, longest = self._settings.poll
        pauses, pause = _growing(first, longest), 0.0
        outages = _growing(first, _LONGEST_OUTAGE)
        while True:
            yield from checkpoint(self.control)
            found = behind = False
            try:
                for slot in sorted((yield from self._share())):
                    if slot not in (yield from self._share()):
                        continue
                    try:
                        some, full = yield from self._held[slot].advance(
                            idle=pause == longest, until=self._share_at
                        )
                    except SlotLost:
                        self._lose(slot)
                        continue
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
            elif self._held:
                least = min(progress.position.reached for progress in self._held.values())
                yield from self._stall_watch.look(least)
            pause = 0.0 if found else next(pauses)
            if found or (yield Pause(pause)):
                pauses = _growing(first, longest)

    def _share(self) -> Generator[Step, Any, Collection[int]]:
        """Have the group's slots as they are due to its members now, every third of a lease.

        Returns the slots that are held.
        """
        if self.membership is None or time.monotonic() < self._share_at:
            return self._held.keys()
        self._share_at = time.monotonic() + self.membership.group.lease / 3
        shared: dict[int, Any] = yield Transact(
            partial(self.membership.share, held=self._claims(), start=self._start)
        )
        for slot in self._held.keys() - shared.keys():
            del self._held[slot]
        new = shared.keys() - self._held.keys()
        # All of them before anything may be interrupted: nobody else would ever get one that is
        # this member's, and that it does not know of.
        for slot in new:
            self._hold(*shared[slot])
        for slot in sorted(new):
            yield from self._renew(slot)
        self._log(logging.DEBUG, "holds slots %s", sorted(self._held))
        return self._held.keys()

    def _join(self, session: Session) -> None:
        assert self.membership is not None  # noqa: S101 (who calls this has asked)
        self.membership.join(session)
        self._register(session)

    def _register(self, session: Session) -> None:
        settings = self._settings
        reads = Reads(
            categories=list(settings.categories),
            types=self._handlers.only,
            correlation=settings.filters.get("correlation"),
            condition=settings.filters.get("condition"),
            start=settings.start,
        )
        register(session, settings.name, reads)

    def _take(self, session: Session) -> tuple[Claim, int]:
        self._register(session)
        filters = self._settings.filters
        slot = filters.get("consumer_group_member") or 0
        slots = filters.get("consumer_group_size") or 1
        return claims.claim(session, self._settings.name, slot, slots, self._start(session, slot))

    def _start(self, session: Session, slot: int) -> int:
        """Return up to where all is done for a slot that has no position yet."""
        start = max(self._settings.start - 1, 0)
        stream_name = self._settings.take_over
        if stream_name is None or claims.has_begun(session, self._settings.name, slot):
            return start
        recorded = reads.last_message(session, stream_name, "Recorded")
        if recorded is None:
            return start
        data: Any = recorded.data
        position = data.get("position") if isinstance(data, dict) else None
        if not isinstance(position, int) or position < 0:
            raise InvalidArgument(
                f"There is no position in the last message of {stream_name}: {data!r}"
            )
        return position

    def _hold(self, claim: Claim, position: int) -> None:
        filters = self._settings.filters
        group = self._settings.group
        if group is not None and group.slots > 1:
            filters = CategoryFilters(
                **filters, consumer_group_member=claim.slot, consumer_group_size=group.slots
            )
        self._held[claim.slot] = Progress(
            self._settings, self._handlers, self.control, claim, position, filters
        )

    def _lose(self, slot: int) -> None:
        """Let go of a slot that another process has taken; without a group, that is the end."""
        del self._held[slot]
        if self.membership is None:
            raise SlotLost(self._settings.name, slot)
        self._log(logging.WARNING, "has lost slot %d", slot)

    def _claims(self) -> dict[int, Claim]:
        return {slot: progress.claim for slot, progress in self._held.items()}

    def _log(self, level: int, what: str, *values: object, error: Exception | None = None) -> None:
        log(level, self._settings.name, what, *values, error=error)


def _growing(first: float, longest: float) -> Iterator[float]:
    while True:
        yield first
        first = min(2 * first, longest)
