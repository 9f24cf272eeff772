"""Claims to a consumer's slots: only the latest claim to a slot may advance its position."""

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
    """The right to advance a slot of a consumer, until another process claims the slot.

    `token` is a fencing token, which increases over time: if the database has a smaller one, it has
    lost the claim.
    """

    consumer: str
    slot: int
    token: int

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of a statement with `IS_SLOT` or `IS_CLAIMED`."""
        return {"of_consumer": self.consumer, "of_slot": self.slot, "of_token": self.token}


# Built once: building a statement costs as much as executing it.

IS_SLOT = and_(slots.c.consumer == bindparam("of_consumer"), slots.c.slot == bindparam("of_slot"))
"""Matches the slot of a claim."""

IS_CLAIMED = and_(IS_SLOT, slots.c.token == bindparam("of_token"))
"""Matches the slot of a claim, unless another process has claimed it since."""

_RELEASE = update(slots).where(IS_CLAIMED).values(owner=None, token=slots.c.token + 1)


def claim(session: Session, consumer: str, slot: int, number: int, start: int) -> tuple[Claim, int]:
    """Take over a slot from its current owner; return the claim and the slot's position.

    Args:
        session: the claim becomes part of this session's transaction.
        consumer: the consumer's name.
        slot: the slot, from 0.
        number: the number of slots that the consumer's work is partitioned into.
        start: the initial position of a slot that has none.

    Raises:
        InvalidArgument: the work is already partitioned into another number of slots.
    """
    taken = _claim(session, consumer, slot, number, start, None, where=true())
    assert taken is not None  # noqa: S101 (without a condition the claim always succeeds)
    return taken


def claim_if_free(
    session: Session, consumer: str, slot: int, number: int, start: int, member: str
) -> tuple[Claim, int] | None:
    """Take over a slot unless a live member owns it; return None if one does. See `claim`."""
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
    # Slot 0 is always inserted first: the process that inserts it sets the number of slots.
    for each in (0, slot):
        # An insert that conflicts waits for a transaction that has updated the row. If each claim
        # waited for slot 0, two members that rebalance could wait for each other.
        if not has_begun(session, consumer, each):
            new = insert(slots).values(consumer=consumer, slot=each, slots=number, position=start)
            session.execute(new.on_conflict_do_nothing(), bind_arguments=_BIND)
        others = select(slots.c.slots).where(slots.c.consumer == consumer, slots.c.slots != number)
        found = session.execute(others.limit(1), bind_arguments=_BIND).scalar()
        if found is not None:
            raise InvalidArgument(
                f"The work of consumer {consumer!r} is partitioned into {found} slots, not "
                f"{number}: all processes of a consumer must use the same number of slots"
            )
    # From the clock, in microseconds: a database that has lost its latest transactions must not
    # issue a token that another process already has.
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
    """Return a member's claims by slot, as stored in the database."""
    statement = select(slots.c.slot, slots.c.token).where(
        slots.c.consumer == consumer, slots.c.owner == member
    )
    rows = session.execute(statement, bind_arguments=_BIND)
    return {row.slot: Claim(consumer, row.slot, row.token) for row in rows}


def release(claim: Claim, session: Session) -> None:
    """Release a slot for others to acquire at once; no effect if another process has claimed it."""
    session.execute(_RELEASE, claim.parameters, bind_arguments=_BIND)


def has_begun(session: Session, consumer: str, slot: int) -> bool:
    """Return whether a slot has a position."""
    statement = select(slots.c.slot).where(slots.c.consumer == consumer, slots.c.slot == slot)
    return session.execute(statement, bind_arguments=_BIND).first() is not None
