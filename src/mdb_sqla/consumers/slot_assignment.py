"""The slots of a consumer that this process holds: its share of the group's slots, or all work."""

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
from mdb_sqla.consumers.loop_operations import Operation, Routine, Transact
from mdb_sqla.consumers.registry import Reads, register
from mdb_sqla.consumers.run_control import Control, log
from mdb_sqla.consumers.saved_positions import ClaimMissing
from mdb_sqla.consumers.settings import Settings
from mdb_sqla.consumers.slot_worker import SlotProgress
from mdb_sqla.errors import InvalidArgument, SlotLost
from mdb_sqla.store import read_statements
from mdb_sqla.store.read_arguments import CategoryFilters

__all__ = ["SlotAssignment"]


class SlotAssignment:
    """The slots that one run of a consumer holds, and its membership in the group.

    Args:
        settings: the consumer's settings.
        handlers: the consumer's handlers.
        control: may stop the consumer.

    Attributes:
        membership: the membership in the group; None without a group.
    """

    def __init__(self, settings: Settings, handlers: Handlers, control: Control) -> None:
        self._settings = settings
        self._handlers = handlers
        self._control = control
        self._held: dict[int, SlotProgress] = {}
        self._share_at = math.inf
        self.membership = (
            None if settings.group is None else Membership(settings.name, settings.group)
        )

    @property
    def position(self) -> int | None:
        """The lowest position of the slots held; None if there are none."""
        return min((each.position.reached for each in self._held.values()), default=None)

    def begin(self) -> Routine:
        """Join the group, or claim the slot; after an interruption, reload the saved positions."""
        if self.membership is not None and not self.membership.joined:
            self.membership.may_have_joined = True
            yield Transact(self._join)
            self.membership.joined = True
        elif self.membership is None and not self._held:
            self._hold(*(yield Transact(self._claim)))
        else:
            # The registration may have been lost in a failover.
            yield Transact(self._register)
        for slot in list(self._held):
            yield from self._reload(slot)
        if self.membership is not None:
            self._share_at = 0.0

    def share(self) -> Generator[Operation, Any, Collection[int]]:
        """Rebalance the group's slots every third of a lease, and return the slots held."""
        if self.membership is None or time.monotonic() < self._share_at:
            return self._held.keys()
        self._share_at = time.monotonic() + self.membership.group.lease / 3
        shared: dict[int, Any] = yield Transact(
            partial(self.membership.share, held=self._held_claims, start=self._start)
        )
        for slot in self._held.keys() - shared.keys():
            del self._held[slot]
        new = shared.keys() - self._held.keys()
        # Record all of them before anything can interrupt: no other member would ever acquire a
        # slot that this member owns without knowing it.
        for slot in new:
            self._hold(*shared[slot])
        for slot in sorted(new):
            yield from self._reload(slot)
        log(
            logging.DEBUG,
            self._settings.name,
            "consumer.slots_held",
            "holds slots %s",
            sorted(self._held),
            slots=sorted(self._held),
        )
        return self._held.keys()

    def advance(self, slot: int, *, idle: bool) -> Generator[Operation, Any, tuple[bool, bool]]:
        """Read and handle a batch of a slot, unless the slot is lost. See `SlotProgress.advance`.

        Raises:
            SlotLost: another process has taken over the slot, and there is no group.
        """
        try:
            return (yield from self._held[slot].advance(idle=idle, until=self._share_at))
        except SlotLost:
            self._lose(slot)
            return False, False

    def save(self) -> Routine:
        """Save the position of each slot."""
        for progress in list(self._held.values()):
            with suppress(SlotLost):
                yield from progress.position.save()

    def leave(self) -> Routine:
        """Release the slots and leave, so other members need not wait for the lease to expire."""
        if self.membership is not None and self.membership.may_have_joined:
            yield Transact(partial(self.membership.leave, held=self._held_claims))

    def _reload(self, slot: int) -> Routine:
        """Continue a slot at the position in the database."""
        try:
            yield from self._held[slot].reload()
        except SlotLost:
            self._lose(slot)
        except ClaimMissing:
            # The slot was not taken over: the database was restored to an older state.
            del self._held[slot]
            if self.membership is None:
                self._hold(*(yield Transact(self._claim)))
                yield from self._reload(slot)

    def _join(self, session: Session) -> None:
        assert self.membership is not None  # noqa: S101 (the caller has checked)
        self.membership.join(session)
        self._register(session)

    def _register(self, session: Session) -> None:
        self._handlers.check_start(session)
        settings = self._settings
        reads = Reads(
            categories=list(settings.categories),
            types=self._handlers.only,
            correlation=settings.filters.get("correlation"),
            condition=settings.filters.get("condition"),
            start=settings.start,
        )
        register(session, settings.name, reads)

    def _claim(self, session: Session) -> tuple[Claim, int]:
        self._register(session)
        filters = self._settings.filters
        slot = filters.get("consumer_group_member") or 0
        slots = filters.get("consumer_group_size") or 1
        return claims.claim(session, self._settings.name, slot, slots, self._start(session, slot))

    def _start(self, session: Session, slot: int) -> int:
        """Return the initial position of a slot that has no position yet."""
        start = max(self._settings.start - 1, 0)
        stream_name = self._settings.take_over
        if stream_name is None or claims.has_begun(session, self._settings.name, slot):
            return start
        recorded = read_statements.last_message(session, stream_name, "Recorded")
        if recorded is None:
            return start
        data: Any = recorded.data
        position = data.get("position") if isinstance(data, dict) else None
        if not isinstance(position, int) or position < 0:
            raise InvalidArgument(
                f"take_over must be a position stream, but the last message of {stream_name} has "
                f"no position, got {data!r}"
            )
        return position

    def _hold(self, claim: Claim, position: int) -> None:
        filters = self._settings.filters
        group = self._settings.group
        if group is not None and group.slots > 1:
            filters = CategoryFilters(
                **filters, consumer_group_member=claim.slot, consumer_group_size=group.slots
            )
        self._held[claim.slot] = SlotProgress(
            self._settings, self._handlers, self._control, claim, position, filters
        )

    def _lose(self, slot: int) -> None:
        """Drop a slot that another process has taken over; an error without a group."""
        del self._held[slot]
        if self.membership is None:
            raise SlotLost(self._settings.name, slot)
        log(
            logging.WARNING,
            self._settings.name,
            "consumer.slot_lost",
            "lost slot %d to another member",
            slot,
            slot=slot,
        )

    @property
    def _held_claims(self) -> dict[int, Claim]:
        return {slot: progress.claim for slot, progress in self._held.items()}
