"""How far a consumer is, and who may move it on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, select, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from mdb_sqla.errors import InvalidArgument, SlotLost
from mdb_sqla.execution import WRITES
from mdb_sqla.tables import consumer_members as members
from mdb_sqla.tables import consumer_slots as slots

__all__ = ["Claim", "claim", "claim_if_free", "has_begun", "hold", "release", "renew", "save"]

_BIND: dict[str, Any] = {"clause": WRITES}


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to move a slot of a consumer's work on, until somebody else claims it."""

    consumer: str
    slot: int
    token: int


def claim(session: Session, consumer: str, slot: int, number: int, start: int) -> tuple[Claim, int]:
    """Take a slot over from whoever has it; returns up to which position all is done.

    Args:
        session: in whose transaction it is done.
        consumer: the consumer's name.
        slot: the slot, from 0.
        number: into how many slots the consumer's work is parted.
        start: up to where all is done where the consumer never ran.

    Raises:
        InvalidArgument: the work is parted into another number of slots.
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
                f"The work of consumer {consumer!r} is parted into {found} slots, not {number}"
            )
    statement = (
        update(slots)
        .where(slots.c.consumer == consumer, slots.c.slot == slot, where)
        .values(token=slots.c.token + 1, owner=owner, changed=func.clock_timestamp())
        .returning(slots.c.token, slots.c.position)
    )
    row = session.execute(statement, bind_arguments=_BIND).one_or_none()
    if row is None:
        return None
    return Claim(consumer, slot, row.token), row.position


def release(claim: Claim, session: Session) -> None:
    """Let go of a slot, so that others can take it at once; it may be another's already."""
    statement = update(slots).where(_is(claim)).values(owner=None, token=slots.c.token + 1)
    session.execute(statement, bind_arguments=_BIND)


def has_begun(session: Session, consumer: str, slot: int) -> bool:
    """Whether a slot has a position."""
    statement = select(slots.c.slot).where(slots.c.consumer == consumer, slots.c.slot == slot)
    return session.execute(statement, bind_arguments=_BIND).first() is not None


def hold(claim: Claim, session: Session) -> None:
    """Keep others from claiming a slot until the session's transaction ends.

    Raises:
        SlotLost: somebody else has claimed it.
    """
    statement = select(slots.c.slot).where(_is(claim)).with_for_update(key_share=True)
    if session.execute(statement, bind_arguments=_BIND).first() is None:
        raise SlotLost(claim.consumer, claim.slot)


def renew(claim: Claim, session: Session) -> int:
    """Return up to which position all is done.

    Raises:
        SlotLost: somebody else has claimed the slot.
    """
    statement = select(slots.c.position).where(_is(claim))
    position: int | None = session.execute(statement, bind_arguments=_BIND).scalar()
    if position is None:
        raise SlotLost(claim.consumer, claim.slot)
    return position


def save(claim: Claim, position: int, session: Session) -> None:
    """Move the slot on, in the session's transaction.

    Raises:
        SlotLost: somebody else has claimed it.
    """
    statement = (
        update(slots)
        .where(_is(claim))
        .values(position=position, changed=func.clock_timestamp())
        .returning(slots.c.token)
    )
    if session.execute(statement, bind_arguments=_BIND).first() is None:
        raise SlotLost(claim.consumer, claim.slot)


def _is(claim: Claim) -> ColumnElement[bool]:
    return and_(
        slots.c.consumer == claim.consumer,
        slots.c.slot == claim.slot,
        slots.c.token == claim.token,
    )
