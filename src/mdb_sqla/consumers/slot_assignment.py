"""Which slots of a consumer this process holds: those that its group gives it, or the one."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Collection, Generator
from contextlib import suppress
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from mdb_sqla.consumers import claims
from mdb_sqla.consumers.claims import Claim
from mdb_sqla.consumers.group import Membership
from mdb_sqla.consumers.handlers import Handlers
from mdb_sqla.consumers.operations import Step, Steps, Transact
from mdb_sqla.consumers.positions import ClaimForgotten
from mdb_sqla.consumers.registry import Reads, register
from mdb_sqla.consumers.retries import Control, log
from mdb_sqla.consumers.settings import Settings
from mdb_sqla.consumers.slot_progress import Progress
from mdb_sqla.errors import InvalidArgument, SlotLost
from mdb_sqla.store import reads
from mdb_sqla.store.read_arguments import CategoryFilters

__all__ = ["Assignment"]


class Assignment:
    """The slots that one run of a consumer holds, and its place in the group.

    Args:
        settings: the consumer's.
        handlers: the consumer's.
        control: what may stop the consumer.

    Attributes:
        membership: the place in the group; None without one.
    """

    def __init__(self, settings: Settings, handlers: Handlers, control: Control) -> None:
        self._settings = settings
        self._handlers = handlers
        self._control = control
        self._held: dict[int, Progress] = {}
        self._share_at = math.inf
        self.membership = (
            None if settings.group is None else Membership(settings.name, settings.group)
        )

    @property
    def position(self) -> int | None:
        """Up to where all is done in every slot; None where none is held."""
        return min((each.position.reached for each in self._held.values()), default=None)

    def begin(self) -> Steps:
        """Take a place in the database, or what it has of it after the connection was lost."""
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

    def share(self) -> Generator[Step, Any, Collection[int]]:
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
        log(logging.DEBUG, self._settings.name, "holds slots %s", sorted(self._held))
        return self._held.keys()

    def advance(self, slot: int, *, idle: bool) -> Generator[Step, Any, tuple[bool, bool]]:
        """Read a batch of a slot and handle it; see `Progress.advance`. Nothing, if it is lost.

        Raises:
            SlotLost: another process has taken it, and there is no group.
        """
        try:
            return (yield from self._held[slot].advance(idle=idle, until=self._share_at))
        except SlotLost:
            self._lose(slot)
            return False, False

    def save(self) -> Steps:
        """Save how far each slot is."""
        for progress in list(self._held.values()):
            with suppress(SlotLost):
                yield from progress.position.save()

    def leave(self) -> Steps:
        """Release what is held, so that others need not wait until the lease has run out."""
        if self.membership is not None and self.membership.may_have_joined:
            yield Transact(partial(self.membership.leave, held=self._claims()))

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
            self._settings, self._handlers, self._control, claim, position, filters
        )

    def _lose(self, slot: int) -> None:
        """Let go of a slot that another process has taken; without a group, that is the end."""
        del self._held[slot]
        if self.membership is None:
            raise SlotLost(self._settings.name, slot)
        log(logging.WARNING, self._settings.name, "has lost slot %d", slot)

    def _claims(self) -> dict[int, Claim]:
        return {slot: progress.claim for slot, progress in self._held.items()}
