"""How far a consumer is, and who may move it on.

A position is moved from where the database has it and nowhere else, and only beyond messages that
are in the database.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

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

from mdb_sqla import functions
from mdb_sqla.column_types import uuid_of
from mdb_sqla.consumers.history_anchor import (
    Anchor,
    are_stored,
    last_up_to,
    sequence_file,
    sequence_of,
    stored_parameters,
)
from mdb_sqla.consumers.operations import Unconfirmed
from mdb_sqla.database.execution import WRITES
from mdb_sqla.errors import InvalidArgument, SlotLost
from mdb_sqla.tables import consumer_members as members
from mdb_sqla.tables import consumer_slots as slots
from mdb_sqla.tables import messages

__all__ = [
    "IS_SLOT",
    "Claim",
    "ClaimForgotten",
    "Standing",
    "claim",
    "claim_if_free",
    "has_begun",
    "hold",
    "owned_slots",
    "release",
    "renew",
    "save",
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
        """Those of a statement with `IS_SLOT` or `_IS_CLAIMED`."""
        return {"of_consumer": self.consumer, "of_slot": self.slot, "of_token": self.token}


class ClaimForgotten(Exception):
    """The database has an older state of a slot than the claim, or no such slot."""


class Standing(NamedTuple):
    """What the database says of a slot that is claimed.

    Attributes:
        position: up to where all is done.
        drawn: the last global position that was drawn.
        sequence: the file of the sequence that draws them.
        anchor: the last message up to the position; None where there is none.
        id_at_anchor: the id of the message that is where the anchor was that was asked for; None
            where there is none.
    """

    position: int
    drawn: int
    sequence: int
    anchor: Anchor | None
    id_at_anchor: UUID | None

    @property
    def is_ahead(self) -> bool:
        """Whether the position is beyond everything that was ever written to the database."""
        # Messages that were brought in with their positions may be beyond what was drawn.
        newest = self.drawn if self.anchor is None else max(self.drawn, self.anchor.global_position)
        return self.position > newest


# Made once: making a statement costs as much as executing it.

IS_SLOT = and_(slots.c.consumer == bindparam("of_consumer"), slots.c.slot == bindparam("of_slot"))
"""The slot of a claim, by its parameters."""

_IS_CLAIMED = and_(IS_SLOT, slots.c.token == bindparam("of_token"))

_SAVE = (
    update(slots)
    .where(_IS_CLAIMED, slots.c.position == bindparam("saved"), are_stored())
    .values(position=bindparam("reached"), changed=func.clock_timestamp())
    .returning(slots.c.token)
)

_HOLD = select(slots.c.slot).where(_IS_CLAIMED).with_for_update(key_share=True)

_RELEASE = update(slots).where(_IS_CLAIMED).values(owner=None, token=slots.c.token + 1)

_FOUND = select(slots.c.token, slots.c.position).where(IS_SLOT)

_last = last_up_to(slots.c.position).lateral()
_STANDING = (
    select(
        slots.c.token,
        slots.c.position,
        functions.last_global_position(),
        sequence_file(),
        _last.c.global_position,
        _last.c.id,
        select(messages.c.id)
        .where(messages.c.global_position == bindparam("anchor_position", type_=BigInteger))
        .scalar_subquery(),
    )
    .select_from(slots.outerjoin(_last, true()))
    .where(IS_SLOT)
    # So that it waits for a server that is read-only at the moment, before a handler is called.
    .with_for_update(of=slots, key_share=True)
)


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
    # By the clock, in microseconds: a database that has lost its last transactions must not give a
    # token to one process that another got from it before.
    now = cast(1_000_000 * extract("epoch", func.clock_timestamp()), BigInteger)
    statement = (
        update(slots)
        .where(slots.c.consumer == consumer, slots.c.slot == slot, where)
        .values(
            token=func.greatest(slots.c.token + 1, now),
            owner=owner,
            changed=func.clock_timestamp(),
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
    """Let go of a slot, so that others can take it at once; it may be another's already."""
    session.execute(_RELEASE, claim.parameters, bind_arguments=_BIND)


def has_begun(session: Session, consumer: str, slot: int) -> bool:
    """Whether a slot has a position."""
    statement = select(slots.c.slot).where(slots.c.consumer == consumer, slots.c.slot == slot)
    return session.execute(statement, bind_arguments=_BIND).first() is not None


def hold(claim: Claim, session: Session) -> None:
    """Keep others from claiming a slot until the session's transaction ends.

    Raises:
        SlotLost: somebody else has claimed it.
        Unconfirmed: the database has forgotten the claim.
    """
    if session.execute(_HOLD, claim.parameters, bind_arguments=_BIND).first() is None:
        raise _reason(claim, session)


def renew(claim: Claim, anchor: Anchor | None, session: Session) -> Standing:
    """Return what the database says of a slot, and of the message that was the last up to there.

    Raises:
        SlotLost: somebody else has claimed it.
        ClaimForgotten: the database has an older state of the slot, or no such slot.
    """
    parameters = {
        **claim.parameters,
        **sequence_of(session),
        "anchor_position": None if anchor is None else anchor.global_position,
    }
    row = session.execute(_STANDING, parameters, bind_arguments=_BIND).one_or_none()
    if row is None or row[0] < claim.token:
        raise ClaimForgotten
    token, position, drawn, sequence, last_position, last_id, id_at_anchor = row
    if token > claim.token:
        raise SlotLost(claim.consumer, claim.slot)
    return Standing(
        position,
        drawn,
        sequence,
        None if last_id is None else Anchor(last_position, uuid_of(last_id)),
        None if id_at_anchor is None else uuid_of(id_at_anchor),
    )


def save(claim: Claim, saved: int, reached: int, read: Sequence[Anchor], session: Session) -> None:
    """Move the slot on, in the session's transaction.

    Args:
        claim: to the slot.
        saved: where the slot is to be.
        reached: where it is moved to.
        read: what was handled on the way, and the last message that was read.
        session: the session.

    Raises:
        SlotLost: somebody else has claimed it.
        Unconfirmed: the slot is not there, or not all of the messages are stored.
    """
    parameters = {
        **claim.parameters,
        **stored_parameters(read),
        "saved": saved,
        "reached": reached,
    }
    if session.execute(_SAVE, parameters, bind_arguments=_BIND).first() is None:
        raise _reason(claim, session, saved)


def _reason(claim: Claim, session: Session, saved: int | None = None) -> Exception:
    """Return what keeps a claim from being used."""
    row = session.execute(_FOUND, claim.parameters, bind_arguments=_BIND).one_or_none()
    if row is not None and row.token > claim.token:
        return SlotLost(claim.consumer, claim.slot)
    if row is None or row.token < claim.token:
        return Unconfirmed(f"the database has forgotten who claimed slot {claim.slot}")
    if row.position != saved:
        return Unconfirmed(f"its position is {row.position} in the database, and not {saved}")
    return Unconfirmed("messages that it has read are not in the database any more")
