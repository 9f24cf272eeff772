"""How far a consumer is.

A position is moved from where the database has it and nowhere else, and only beyond messages that
are in the database.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    bindparam,
    func,
    select,
    true,
    update,
)
from sqlalchemy.orm import Session

from mdb_sqla import functions
from mdb_sqla.column_types import uuid_of
from mdb_sqla.consumers.claims import IS_CLAIMED, IS_SLOT, Claim
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
from mdb_sqla.errors import SlotLost
from mdb_sqla.tables import consumer_slots as slots
from mdb_sqla.tables import messages

__all__ = ["ClaimForgotten", "Standing", "hold", "renew", "save"]

_BIND: dict[str, Any] = {"clause": WRITES}


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

_SAVE = (
    update(slots)
    .where(IS_CLAIMED, slots.c.position == bindparam("saved"), are_stored())
    .values(position=bindparam("reached"), updated_at=func.clock_timestamp())
    .returning(slots.c.token)
)

_HOLD = select(slots.c.slot).where(IS_CLAIMED).with_for_update(key_share=True)

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
