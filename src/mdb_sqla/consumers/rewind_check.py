"""Checks whether the database still has the messages that a consumer has read.

The database may have reverted to an older state: a standby was promoted without the latest
transactions, a backup was restored, or the table was emptied. Then a message that was read is
missing, or another message has its global position.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Self
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Select,
    Text,
    Uuid,
    bindparam,
    cast,
    func,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import REGCLASS
from sqlalchemy.orm import Session

from mdb_sqla.database.execution import connection_of, qualified
from mdb_sqla.store.stored_message import parameters_of
from mdb_sqla.tables import messages
from mdb_sqla.words.message import StoredMessage

__all__ = [
    "Anchor",
    "anchor_parameters",
    "are_stored",
    "last_up_to",
    "sequence_file",
    "sequence_of",
    "stored_parameters",
]

_SEQUENCE = cast(bindparam("sequence_name", type_=Text), REGCLASS)


class Anchor(NamedTuple):
    """The last message that a consumer has read, at a time when everything up to it was settled.

    As long as the database has this message, the consumer has read everything up to it. This holds
    even for an older state of the database: it lacks only the latest transactions before the read,
    and its sequence is beyond the message, so nothing more is written up to it.
    """

    global_position: int
    id: UUID

    @classmethod
    def of(cls, message: StoredMessage) -> Self:
        """Return the anchor at a message."""
        return cls(message.global_position, message.id)


def anchor_parameters(anchor: Anchor | None) -> dict[str, Any]:
    """Return the parameters of a statement with `is_stored`."""
    return parameters_of(*(anchor or (None, None)))


def are_stored() -> ColumnElement[bool]:
    """Return an expression: whether all messages passed to `stored_parameters` are stored.

    For a single message, `is_stored` takes half the time.
    """
    # Not schema-qualified: with two arrays, unnest is part of the grammar.
    requested = (
        func.unnest(
            bindparam("global_positions", type_=ARRAY(BigInteger)),
            bindparam("ids", type_=ARRAY(Uuid)),
        )
        .table_valued("global_position", "id")
        .render_derived()
    )
    # The limit forces a lookup in the primary key for each.
    found = (
        select(messages.c.id)
        .where(
            messages.c.global_position == requested.c.global_position,
            messages.c.id == requested.c.id,
        )
        .limit(1)
        .lateral()
    )
    number = select(func.count()).select_from(requested.join(found, true())).scalar_subquery()
    return number == bindparam("number", type_=BigInteger)


def stored_parameters(anchors: Sequence[Anchor]) -> dict[str, Any]:
    """Return the parameters of a statement with `are_stored`."""
    return {
        "global_positions": [anchor.global_position for anchor in anchors],
        "ids": [anchor.id for anchor in anchors],
        "number": len(anchors),
    }


def last_up_to(position: ColumnElement[int]) -> Select[Any]:
    """Select the last message up to a global position."""
    return (
        select(messages.c.global_position, messages.c.id)
        .where(messages.c.global_position <= position)
        .order_by(messages.c.global_position.desc())
        .limit(1)
    )


def sequence_file() -> ColumnElement[int]:
    """Return an expression: the file of the sequence of global positions.

    Restarting the sequence changes the file. A standby has the same file as its primary.
    """
    return cast(func.pg_catalog.pg_relation_filenode(_SEQUENCE), BigInteger)


def sequence_of(session: Session) -> dict[str, Any]:
    """Return the parameters of a statement with `sequence_file`."""
    name = qualified(connection_of(session), "messages_global_position_seq")
    return {"sequence_name": name}
