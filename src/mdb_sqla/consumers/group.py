"""Groups that run themselves: members join, leave and fail, and the slots go to who is there."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from mdb_sqla.consumers.claims import Claim, claim_if_free, owned_slots, release
from mdb_sqla.database.execution import WRITES
from mdb_sqla.errors import InvalidArgument, MemberReplaced
from mdb_sqla.tables import consumer_members as members
from mdb_sqla.words.argument_checks import integer, key, seconds

__all__ = ["Group", "Membership"]

_BIND: dict[str, Any] = {"clause": WRITES}
_LONG_GONE = timedelta(days=1)


def _default_member() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"


@dataclass(frozen=True)
class Group:
    """How a consumer shares its work with others of its name.

    Streams fall into slots by their cardinal id, and every slot has one member at a time, so the
    order of a stream holds. A member that has not been heard of for `lease` seconds is taken for
    dead: that is how long its slots may rest.

    Args:
        slots: how many slots there are, the same for all members and for good; no more members than
            that have something to do.
        lease: in seconds.
        member: this member's name, which no other may have; made up if there is none.
    """

    slots: int = 16
    lease: float = 10.0
    member: str = field(default_factory=_default_member)

    def __post_init__(self) -> None:
        if integer("slots", self.slots, 1) >= 2**31:
            raise InvalidArgument(f"slots must be less than 2^31: {self.slots!r}")
        seconds("lease", self.lease)
        object.__setattr__(self, "member", key("A member's name", self.member))


class Membership:
    """A member's place in its group, for one run of a consumer."""

    def __init__(self, consumer: str, group: Group) -> None:
        self.group = group
        self._consumer = consumer
        self._instance: UUID = uuid4()
        self.joined = False
        self.may_have_joined = False  # also where nobody knows whether that was committed

    def join(self, session: Session) -> None:
        """Become a member; an older process of the same name is one no more."""
        row = insert(members).values(
            consumer=self._consumer,
            member=self.group.member,
            instance=self._instance,
            lease=self._lease,
            alive_until=func.clock_timestamp() + self._lease,
        )
        statement = row.on_conflict_do_update(
            index_elements=[members.c.consumer, members.c.member],
            set_={name: row.excluded[name] for name in ("instance", "lease", "alive_until")},
        )
        session.execute(statement, bind_arguments=_BIND)
        gone = delete(members).where(
            members.c.consumer == self._consumer,
            members.c.alive_until < func.clock_timestamp() - _LONG_GONE,
        )
        session.execute(gone, bind_arguments=_BIND)

    def beat(self, session: Session) -> None:
        """Tell that this member is alive, if it is one.

        Raises:
            MemberReplaced: another process has joined under this member's name.
        """
        if not self.joined:
            return
        statement = (
            update(members)
            .where(self._is_member, members.c.instance == self._instance)
            .values(alive_until=func.clock_timestamp() + self._lease)
            .returning(members.c.member)
        )
        if session.execute(statement, bind_arguments=_BIND).first() is not None:
            return
        found = select(members.c.member).where(self._is_member)
        if session.execute(found, bind_arguments=_BIND).first() is not None:
            raise MemberReplaced(self._consumer, self.group.member)
        # An older state of the database is back, from before this member has joined; or this had
        # to wait until it had left.
        if self.joined:
            self.join(session)

    def share(
        self, session: Session, held: dict[int, Claim], start: Callable[[Session, int], int]
    ) -> dict[int, Any]:
        """Let go of the slots that are others' share, and take those of one's own that are free.

        Returns:
            By slot, what is held now: a claim, and for a new one up to where all is done.

        Raises:
            MemberReplaced: another process has joined under this member's name.
        """
        self.beat(session)
        self._limit_leases(session)
        statement = (
            select(members.c.member)
            .where(
                members.c.consumer == self._consumer,
                or_(
                    members.c.alive_until > func.clock_timestamp(),
                    members.c.member == self.group.member,
                ),
            )
            .order_by(members.c.member)
        )
        alive = list(session.execute(statement, bind_arguments=_BIND).scalars())
        place = alive.index(self.group.member)
        own = range(place, self.group.slots, len(alive))
        # Of which this process may know nothing: from before a crash, or an older state is back.
        owned = owned_slots(session, self._consumer, self.group.member)
        taken: dict[int, Any] = {}
        # In one order for all members, for each locks the rows of its slots.
        for slot in sorted({*held, *own, *owned}):
            if slot not in own:
                release(held.get(slot) or owned[slot], session)
            elif slot in held:
                taken[slot] = (held[slot], None)
            else:
                new = claim_if_free(
                    session,
                    self._consumer,
                    slot,
                    self.group.slots,
                    start(session, slot),
                    self.group.member,
                )
                if new is not None:
                    taken[slot] = new
        return taken

    def _limit_leases(self, session: Session) -> None:
        """Have no member be alive for longer than its lease from now on: the clock went back."""
        limit = func.clock_timestamp() + members.c.lease
        is_beyond = (members.c.consumer == self._consumer) & (members.c.alive_until > limit)
        # Whose row is locked is alive, or another member does this.
        beyond = select(members.c.member).where(is_beyond).with_for_update(skip_locked=True)
        statement = (
            update(members)
            .where(members.c.consumer == self._consumer, members.c.member.in_(beyond))
            .values(alive_until=limit)
        )
        session.execute(statement, bind_arguments=_BIND)

    def leave(self, session: Session, held: dict[int, Claim]) -> None:
        """Let go of all slots, and be a member no more."""
        self.joined = self.may_have_joined = False
        for _, claim in sorted(held.items()):
            release(claim, session)
        statement = delete(members).where(self._is_member, members.c.instance == self._instance)
        session.execute(statement, bind_arguments=_BIND)

    @property
    def _is_member(self) -> Any:
        return (members.c.consumer == self._consumer) & (members.c.member == self.group.member)

    @property
    def _lease(self) -> timedelta:
        return timedelta(seconds=self.group.lease)
