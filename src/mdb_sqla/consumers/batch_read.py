"""The next batch of a slot and the slot's state in the database, read in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import bindparam, literal_column, select, true
from sqlalchemy.orm import Session

from mdb_sqla import functions
from mdb_sqla.column_types import uuid_of
from mdb_sqla.consumers.claims import IS_SLOT, Claim
from mdb_sqla.consumers.consumer_pause import is_paused
from mdb_sqla.consumers.deleted_messages import deleted_up_to, last_deleted
from mdb_sqla.consumers.rewind_check import (
    Anchor,
    anchor_parameters,
    last_up_to,
    sequence_file,
    sequence_of,
)
from mdb_sqla.database.execution import WRITES, execute
from mdb_sqla.store.read_arguments import CategoryFilters
from mdb_sqla.store.read_statements import JoinedRead
from mdb_sqla.store.standby_reads import HORIZON, Horizon, horizon_of
from mdb_sqla.store.stored_message import is_stored
from mdb_sqla.tables import consumer_slots as slots
from mdb_sqla.words.message import StoredMessage
from mdb_sqla.words.stream_name import StreamName

__all__ = ["Batch", "Confirmation", "confirm", "read", "settled"]


class Confirmation(NamedTuple):
    """The state of a slot at the time its messages were read.

    Attributes:
        token: the token of the latest claim to the slot; None if the slot does not exist.
        position: the saved position; None if the slot does not exist.
        sequence: the file of the sequence that assigns global positions.
        has_anchor: whether the requested anchor is stored.
        deleted_up_to: the global position up to which messages of the categories were deleted; 0 if
            none were.
        last_deleted: the global position up to which messages of any category were deleted.
        is_paused: whether the consumer is paused.
    """

    token: int | None
    position: int | None
    sequence: int
    has_anchor: bool
    deleted_up_to: int
    last_deleted: int
    is_paused: bool


class Batch(NamedTuple):
    """A batch of messages.

    Attributes:
        confirmation: the slot's state.
        messages: the messages.
        settled: the message up to which the batch is complete.
        server: the standby that it was read from, or `primary`; None if the consumer has no
            standbys.
    """

    confirmation: Confirmation
    messages: list[StoredMessage]
    settled: Anchor | None
    server: str | None = None


_one = select(literal_column("1").label("one")).subquery("one")
_confirmation = select(
    slots.c.token,
    slots.c.position,
    sequence_file().label("sequence"),
    is_stored().label("has_anchor"),
    deleted_up_to().label("deleted_up_to"),
    last_deleted().label("last_deleted"),
    is_paused(),
)
_slot = _one.outerjoin(slots, IS_SLOT)
_read = JoinedRead(_confirmation.select_from(_slot).subquery("confirmation"))
_WITH_HORIZON = _confirmation.add_columns(*HORIZON.c, slots.c.updated_at).select_from(
    _slot.join(HORIZON, true())
)

_bound = select(functions.settled_position(bindparam("category")).label("position")).subquery()
_last = last_up_to(_bound.c.position).lateral()
_SETTLED = select(_last.c.global_position, _last.c.id).select_from(_bound.join(_last, true()))


def read(
    session: Session,
    claim: Claim,
    anchor: Anchor | None,
    categories: Sequence[StreamName],
    position: int,
    batch_size: int,
    filters: CategoryFilters,
) -> tuple[Confirmation, list[StoredMessage]]:
    """Read a batch, starting at a global position. See `MessageStore.read_messages`."""
    parameters = _parameters(session, claim, anchor, categories)
    row, found = _read.read(session, parameters, categories, position, batch_size, **filters)
    return Confirmation._make(row), found


def confirm(
    session: Session, claim: Claim, anchor: Anchor | None, categories: Sequence[StreamName]
) -> tuple[Confirmation, Horizon | None, datetime | None]:
    """Read the state of a slot, up to where it can be read from a standby, and its `updated_at`."""
    parameters = _parameters(session, claim, anchor, categories)
    parameters["horizon_categories"] = list(categories) or None
    row: Sequence[Any] = execute(session, _WITH_HORIZON, parameters, WRITES)[0]
    width = len(Confirmation._fields)
    return Confirmation._make(row[:width]), horizon_of(row[width:-1]), row[-1]


def _parameters(
    session: Session, claim: Claim, anchor: Anchor | None, categories: Sequence[StreamName]
) -> dict[str, Any]:
    return {
        **claim.parameters,
        **sequence_of(session),
        **anchor_parameters(anchor),
        "read_categories": list(categories),
    }


def settled(session: Session, category: StreamName | None) -> Anchor | None:
    """Return the last message, of any category, up to the settled position of a category or of all.

    A later read in the same transaction sees everything up to it. None if there is no such message.
    """
    rows = execute(session, _SETTLED, {"category": category}, WRITES)
    return Anchor(rows[0].global_position, uuid_of(rows[0].id)) if rows else None
