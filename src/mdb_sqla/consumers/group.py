"""Consumer groups: live members share the slots, and take over the slots of failed members."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, FromClause, and_, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from mdb_sqla.consumers.claims import Claim, claim_if_free, owned_slots, release
from mdb_sqla.database.execution import WRITES
from mdb_sqla.errors import InvalidArgument, MemberReplaced
from mdb_sqla.tables import consumer_members as members
from mdb_sqla.words.argument_checks import described, integer, key, seconds

__all__ = ["Group", "Membership", "is_alive"]

_BIND: dict[str, Any] = {"clause": WRITES}
_RETENTION = timedelta(days=1)  # of the rows of members whose lease has expired


@dataclass(frozen=True)
class Group:
    """A consumer group: processes that run the same consumer share its work.

    Streams are partitioned into slots by their cardinal id. Each slot has one owner at a time, so
    the order within a stream is preserved. A leaving member releases its slots at once; a member
    without a heartbeat for `lease` seconds is considered dead, and others take over its slots.

    Args:
        slots: the number of slots. It must be the same for all members and can't be changed later.
            At most this many members have work.
        lease: the duration of a member's lease, in seconds.
        member: this member's unique name; by default, one is generated in each process.

    Raises:
        InvalidArgument: an argument is invalid.
    """

    slots: int = 16
    lease: float = 10.0
    member: str | None = None
    _suffix: str = field(default_factory=lambda: uuid4().hex[:8], init=False, repr=False)

    def __post_init__(self) -> None:
        if integer("slots", self.slots, 1) >= 2**31:
            raise InvalidArgument(f"slots must be less than 2^31, got {described(self.slots)}")
        seconds("lease", self.lease)
        if self.member is not None:
            object.__setattr__(self, "member", key("member", self.member))

    @property
    def member_name(self) -> str:
        """The name of the member in this process. A forked process has another one."""
        return self.member or f"{socket.gethostname()}-{os.getpid()}-{self._suffix}"


def is_alive(member: FromClause = members) -> ColumnElement[bool]:
    """Return an expression: whether the lease of a row of `consumer_members` is valid."""
    now = func.clock_timestamp()
    # If a lease ends later than its duration allows, the clock was set back after the heartbeat.
    return and_(member.c.alive_until > now, member.c.alive_until <= now + member.c.lease)


class Membership:
    """The membership of a process in a group, for one run of a consumer."""

    def __init__(self, consumer: str, group: Group) -> None:
        self.group = group
        self._consumer = consumer
        self._instance: UUID = uuid4()
        self.joined = False
        self.may_have_joined = False  # also true if the outcome of the commit is unknown

    def join(self, session: Session) -> None:
        """Join the group, replacing an older process with the same member name."""
        row = insert(members).values(
            consumer=self._consumer,
            member=self.group.member_name,
            instance=self._instance,
            lease=self._lease,
            alive_until=func.clock_timestamp() + self._lease,
        )
        statement = row.on_conflict_do_update(
            index_elements=[members.c.consumer, members.c.member],
            set_={name: row.excluded[name] for name in ("instance", "lease", "alive_until")},
        )
        session.execute(statement, bind_arguments=_BIND)
        expired = delete(members).where(
            members.c.consumer == self._consumer,
            members.c.alive_until < func.clock_timestamp() - _RETENTION,
        )
        session.execute(expired, bind_arguments=_BIND)

    def renew_lease(self, session: Session) -> None:
        """Renew this member's lease, if it has joined.

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
            raise MemberReplaced(self._consumer, self.group.member_name)
        # Either the database was restored to a state before this member joined, or this statement
        # had to wait until the member had left.
        if self.joined:
            self.join(session)

    def share(
        self, session: Session, held: dict[int, Claim], start: Callable[[Session, int], int]
    ) -> dict[int, Any]:
        """Release the slots of other members' shares, and acquire the free slots of this one's.

        Returns:
            The claims now held, by slot; a new one with the slot's position.

        Raises:
            MemberReplaced: another process has joined under this member's name.
        """
        self.renew_lease(session)
        self._limit_leases(session)
        statement = (
            select(members.c.member)
            .where(
                members.c.consumer == self._consumer,
                or_(
                    members.c.alive_until > func.clock_timestamp(),
                    members.c.member == self.group.member_name,
                ),
            )
            .order_by(members.c.member)
        )
        alive = list(session.execute(statement, bind_arguments=_BIND).scalars())
        place = alive.index(self.group.member_name)
        own = range(place, self.group.slots, len(alive))
        # This process may not know of all of them, after a crash or if the database was restored.
        owned = owned_slots(session, self._consumer, self.group.member_name)
        taken: dict[int, Any] = {}
        # All members lock the rows of slots in the same order.
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
                    self.group.member_name,
                )
                if new is not None:
                    taken[slot] = new
        return taken

    def _limit_leases(self, session: Session) -> None:
        """Limit every lease to its full duration from now: the clock may have been set back."""
        limit = func.clock_timestamp() + members.c.lease
        is_beyond = (members.c.consumer == self._consumer) & (members.c.alive_until > limit)
        # A locked row belongs to a live member, or another member is updating it right now.
        beyond = select(members.c.member).where(is_beyond).with_for_update(skip_locked=True)
        statement = (
            update(members)
            .where(members.c.consumer == self._consumer, members.c.member.in_(beyond))
            .values(alive_until=limit)
        )
        session.execute(statement, bind_arguments=_BIND)

    def leave(self, session: Session, held: dict[int, Claim]) -> None:
        """Release all slots and leave the group."""
        self.joined = self.may_have_joined = False
        for _, claim in sorted(held.items()):
            release(claim, session)
        statement = delete(members).where(self._is_member, members.c.instance == self._instance)
        session.execute(statement, bind_arguments=_BIND)

    @property
    def _is_member(self) -> Any:
        return (members.c.consumer == self._consumer) & (members.c.member == self.group.member_name)

    @property
    def _lease(self) -> timedelta:
        return timedelta(seconds=self.group.lease)
