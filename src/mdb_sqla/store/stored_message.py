"""Whether a message is stored, as a part of statements."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Uuid, bindparam, exists

from mdb_sqla.tables import messages

__all__ = ["is_stored", "parameters_of"]


def is_stored() -> ColumnElement[bool]:
    """Return an expression: whether a message is stored. See `parameters_of`."""
    return exists().where(
        messages.c.global_position == bindparam("anchor_position", type_=BigInteger),
        messages.c.id == bindparam("anchor_id", type_=Uuid),
    )


def parameters_of(global_position: int | None, id_: UUID | None) -> dict[str, Any]:
    """Return the parameters of a statement with `is_stored`, which is false for None."""
    return {"anchor_position": global_position, "anchor_id": id_}
