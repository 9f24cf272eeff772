"""Saved positions of slots.

A position only advances from the value in the database, and only past messages that the database
has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    bindparam,
    func,
    select,
    true,
    update,
)
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningUpdate

from mdb_sqla import functions
from mdb_sqla.column_types import uuid_of
from mdb_sqla.consumers.claims import IS_CLAIMED, IS_SLOT, Claim
from mdb_sqla.consumers.consumer_pause import is_paused
from mdb_sqla.consumers.deleted_messages import deleted_up_to
from mdb_sqla.consumers.loop_operations import StateMismatch
from mdb_sqla.consumers.rewind_check import (
    Anchor,
    anchor_parameters,
    are_stored,
    last_up_to,
    sequence_file,
    sequence_of,
    stored_parameters,
)
from mdb_sqla.database.execution import WRITES
from mdb_sqla.errors import SlotLost
from mdb_sqla.store.stored_message import is_stored
from mdb_sqla.tables import consumer_slots as slots
from mdb_sqla.tables import messages

__all__ = ["ClaimMissing", "SlotState", "load", "lock", "save"]

_BIND: dict[str, Any] = {"clause": WRITES}


class ClaimMissing(Exception):
    """The slot in the database is older than the claim, or does not exist."""


class SlotState(NamedTuple):
    """The state of a claimed slot in the database.

    Attributes:
        position: the saved position.
        last_assigned: the last global position that was assigned.
        sequence: the file of the sequence that assigns global positions.
        anchor: the last message up to the position; None if there is none.
        id_at_anchor: the id of the message at the requested anchor's position; None if there is
            none.
        deleted_up_to: the global position up to which messages of the consumer's categories were
            deleted; 0 if none were.
        is_paused: whether the consumer is paused.
    """

    position: int
    last_assigned: int
    sequence: int
    anchor: Anchor | None
    id_at_anchor: UUID | None
    deleted_up_to: int
    is_paused: bool

    @property
    def is_ahead(self) -> bool:
        """Whether the position is beyond everything that was ever written to the database."""
        # Imported messages that kept their positions may be beyond the last assigned position.
        newest = self.last_assigned
        if self.anchor is not None:
            newest = max(newest, self.anchor.global_position)
        return self.position > newest


# Built once: building a statement costs as much as executing it.


def _saving(is_read: ColumnElement[bool]) -> tuple[ReturningUpdate[Any], ReturningUpdate[Any]]:
    """Return the statements without and with the pause, for messages that must be stored."""
    without = (
        update(slots)
        .where(IS_CLAIMED, slots.c.position == bindparam("saved"), is_read)
        .values(position=bindparam("reached"), updated_at=func.clock_timestamp())
        .returning(slots.c.token)
    )
    return without, without.returning(is_paused())


_SAVE_AFTER_ONE, _SAVE_AFTER_SEVERAL = _saving(is_stored()), _saving(are_stored())

_LOCK = select(slots.c.slot, is_paused()).where(IS_CLAIMED).with_for_update(key_share=True)

_FOUND = select(slots.c.token, slots.c.position).where(IS_SLOT)

_last = last_up_to(slots.c.position).lateral()
_STATE = (
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
        deleted_up_to(),
        is_paused(),
    )
    .select_from(slots.outerjoin(_last, true()))
    .where(IS_SLOT)
    # The lock fails on a server that is currently read-only, before a handler is called.
    .with_for_update(of=slots, key_share=True)
)


def lock(claim: Claim, session: Session) -> bool:
    """Lock a slot against other claims until the session's transaction ends.

    Returns:
        Whether the consumer is paused.

    Raises:
        SlotLost: another process has claimed the slot.
        StateMismatch: the database has lost the claim.
    """
    row = session.execute(_LOCK, claim.parameters, bind_arguments=_BIND).first()
    if row is None:
        raise _reason(claim, session)
    return bool(row.is_paused)


def load(
    claim: Claim, anchor: Anchor | None, categories: Sequence[str], session: Session
) -> SlotState:
    """Return the state of a slot in the database, including the message at an anchor's position.

    Args:
        claim: the claim to the slot.
        anchor: the anchor.
        categories: the categories that the consumer reads; empty for all.
        session: the session.

    Raises:
        SlotLost: another process has claimed the slot.
        ClaimMissing: the slot in the database is older than the claim, or does not exist.
    """
    parameters = {
        **claim.parameters,
        **sequence_of(session),
        "anchor_position": None if anchor is None else anchor.global_position,
        "read_categories": list(categories),
    }
    row = session.execute(_STATE, parameters, bind_arguments=_BIND).one_or_none()
    if row is None or row[0] < claim.token:
        raise ClaimMissing
    token, position, last_assigned, sequence, last_position, last_id, id_at_anchor, *others = row
    if token > claim.token:
        raise SlotLost(claim.consumer, claim.slot)
    return SlotState(
        position,
        last_assigned,
        sequence,
        None if last_id is None else Anchor(last_position, uuid_of(last_id)),
        None if id_at_anchor is None else uuid_of(id_at_anchor),
        *others,
    )


def save(
    claim: Claim,
    saved: int,
    reached: int,
    read: Sequence[Anchor],
    session: Session,
    *,
    with_pause: bool = False,
) -> bool:
    """Advance the slot's position, in the session's transaction.

    Args:
        claim: the claim to the slot.
        saved: the position that the database must have.
        reached: the new position.
        read: the messages handled since then, and the last message read; all must be stored.
        session: the session.
        with_pause: whether to read whether the consumer is paused.

    Returns:
        Whether the consumer is paused; False if that is not read.

    Raises:
        SlotLost: another process has claimed the slot.
        StateMismatch: the slot's position differs, or a message is not stored.
    """
    if len(read) == 1:
        statements, stored = _SAVE_AFTER_ONE, anchor_parameters(read[0])
    else:
        statements, stored = _SAVE_AFTER_SEVERAL, stored_parameters(read)
    parameters = {**claim.parameters, **stored, "saved": saved, "reached": reached}
    row = session.execute(statements[with_pause], parameters, bind_arguments=_BIND).first()
    if row is None:
        raise _reason(claim, session, saved)
    return with_pause and bool(row.is_paused)


def _reason(claim: Claim, session: Session, saved: int | None = None) -> Exception:
    """Return why a claim can't be used."""
    row = session.execute(_FOUND, claim.parameters, bind_arguments=_BIND).one_or_none()
    if row is not None and row.token > claim.token:
        return SlotLost(claim.consumer, claim.slot)
    if row is None or row.token < claim.token:
        return StateMismatch(f"the database has lost its claim to slot {claim.slot}")
    if row.position != saved:
        return StateMismatch(f"its position in the database is {row.position}, not {saved}")
    return StateMismatch("messages that it has read are no longer in the database")
