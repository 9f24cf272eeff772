"""Who may move a consumer's slots on: whoever has claimed one last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    and_,
    bindparam,
    cast,
    exists,
    extract,
    func,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from mdb_sqla.database.execution import WRITES
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.tables import consumer_members as members
from mdb_sqla.tables import consumer_slots as slots

__all__ = [
    "IS_CLAIMED",
    "IS_SLOT",
    "Claim",
    "claim",
    "claim_if_free",
    "has_begun",
    "owned_slots",
    "release",
]

_BIND: dict[str, Any] = {"clause": WRITES}


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to move a slot of a consumer's work on, until somebody else claims it.

    Tokens grow with time: where the database has a smaller one, it has forgotten the claim.
    """

    consumer: str
    slot: int
    token: int

    @property
    def parameters(self) -> dict[str, Any]:
        """Those of a statement with `IS_SLOT` or `IS_CLAIMED`."""
        return {"of_consumer": self.consumer, "of_slot": self.slot, "of_token": self.token}


# Made once: making a statement costs as much as executing it.

IS_SLOT = and_(slots.c.consumer == bindparam("of_consumer"), slots.c.slot == bindparam("of_slot"))
"""The slot of a claim, by its parameters."""

IS_CLAIMED = and_(IS_SLOT, slots.c.token == bindparam("of_token"))
"""The same, while nobody else has claimed it."""

_RELEASE = update(slots).where(IS_CLAIMED).values(owner=None, token=slots.c.token + 1)


def claim(session: Session, consumer: str, slot: int, number: int, start: int) -> tuple[Claim, int]:
    """Take a slot over from whoever has it; returns up to which position all is done.

    Args:
        session: in whose transaction it is done.
        consumer: the consumer's name.
        slot: the slot, from 0.
        number: into how many slots the consumer's work is partitioned.
        start: up to where all is done where the consumer never ran.

    Raises:
        InvalidArgument: the work is partitioned into another number of slots.
    """
    taken = _claim(session, consumer, slot, number, start, None, where=true())
    assert taken is not None  # noqa: S101 (without a condition it always is)
    return taken


def claim_if_free(
    session: Session, consumer: str, slot: int, number: int, start: int, member: str
) -> tuple[Claim, int] | None:
    """Take a slot over if it is no living member's; None if it is. See `claim`."""
    others = members.alias()
    is_taken = exists().where(
        others.c.consumer == slots.c.consumer,
        others.c.member == slots.c.owner,
        others.c.member != member,
        others.c.alive_until > func.clock_timestamp(),
    )
    return _claim(session, consumer, slot, number, start, member, where=~is_taken)


def _claim(
    session: Session,
    consumer: str,
    slot: int,
    number: int,
    start: int,
    owner: str | None,
    where: ColumnElement[bool],
) -> tuple[Claim, int] | None:
    # The first slot's row is there before any other: whoever makes it says how many there are.
    for each in (0, slot):
        new = insert(slots).values(consumer=consumer, slot=each, slots=number, position=start)
        session.execute(new.on_conflict_do_nothing(), bind_arguments=_BIND)
        others = select(slots.c.slots).where(slots.c.consumer == consumer, slots.c.slots != number)
        found = session.execute(others.limit(1), bind_arguments=_BIND).scalar()
        if found is not None:
            raise InvalidArgument(
                f"The work of consumer {consumer!r} is partitioned into {found} slots, not {number}"
            )
    # By the clock, in microseconds: a database that has lost its last transactions must not give a
    # token to one process that another got from it before.
    now = cast(1_000_000 * extract("epoch", func.clock_timestamp()), BigInteger)
    statement = (
        update(slots)
        .where(slots.c.consumer == consumer, slots.c.slot == slot, where)
        .values(
            token=func.greatest(slots.c.token + 1, now),
            owner=owner,
            updated_at=func.clock_timestamp(),
        )
        .returning(slots.c.token, slots.c.position)
    )
    row = session.execute(statement, bind_arguments=_BIND).one_or_none()
    if row is None:
        return None
    return Claim(consumer, slot, row.token), row.position


def owned_slots(session: Session, consumer: str, member: str) -> dict[int, Claim]:
    """Return the claims that the database has of a member."""
    statement = select(slots.c.slot, slots.c.token).where(
        slots.c.consumer == consumer, slots.c.owner == member
    )
    rows = session.execute(statement, bind_arguments=_BIND)
    return {row.slot: Claim(consumer, row.slot, row.token) for row in rows}


def release(claim: Claim, session: Session) -> None:
    """Release a slot, so that others can take it at once; it may be another's already."""
    session.execute(_RELEASE, claim.parameters, bind_arguments=_BIND)


def has_begun(session: Session, consumer: str, slot: int) -> bool:
    """Whether a slot has a position."""
    statement = select(slots.c.slot).where(slots.c.consumer == consumer, slots.c.slot == slot)
    return session.execute(statement, bind_arguments=_BIND).first() is not None
