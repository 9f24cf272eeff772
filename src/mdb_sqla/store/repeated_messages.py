"""Messages that are already stored with another trace context.

The server compares metadata as a whole. A repeated message is written with the stored metadata if
the trace context is all that differs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Text, Uuid, any_, bindparam, cast, select
from sqlalchemy.dialects.postgresql import ARRAY

from mdb_sqla.column_types import uuid_of
from mdb_sqla.database.citus import CATEGORY, is_on_citus
from mdb_sqla.database.error_fields import sqlstate_of
from mdb_sqla.database.execution import WRITES, Database, execute
from mdb_sqla.errors import DuplicateMessageId, TransactionConflict
from mdb_sqla.store.message_limits import Row
from mdb_sqla.tables import messages
from mdb_sqla.telemetry import fields
from mdb_sqla.words.stream_name import StreamName

__all__ = ["conflict_of_repeat", "with_stored_metadata"]

_STORED = select(messages.c.id, cast(messages.c.metadata, Text).label("metadata")).where(
    messages.c.id == any_(bindparam("ids", type_=ARRAY(Uuid)))
)
# Citus then asks the workers that have the categories, instead of all.
_STORED_ON_CITUS = _STORED.where(any_(bindparam("categories", type_=ARRAY(Text))) == CATEGORY)

_RAISED_BY_STORE = "P0001"


def with_stored_metadata(
    db: Database, rows: Sequence[Row], untraced: Mapping[UUID, str | None]
) -> list[Row]:
    """Return rows with the stored metadata where only the trace context differs from it.

    Args:
        db: the session or connection.
        rows: the rows.
        untraced: the metadata without a trace context, by message id.
    """
    parameters: dict[str, Any] = {"ids": [message.id for _, message, *_ in rows]}
    statement = _STORED
    if is_on_citus(db):
        statement = _STORED_ON_CITUS
        parameters["categories"] = list({StreamName(name).category for name, *_ in rows})
    found = execute(db, statement, parameters, WRITES)
    stored = {uuid_of(row.id): row.metadata for row in found}
    names = fields()

    def metadata_of(id_: UUID, metadata: str | None) -> str | None:
        if id_ not in stored or id_ not in untraced:
            return metadata
        is_same = _content(stored[id_], names) == _content(untraced[id_], names)
        return stored[id_] if is_same else metadata

    return [
        (stream_name, message, data, metadata_of(message.id, metadata))
        for stream_name, message, data, metadata in rows
    ]


def conflict_of_repeat(
    error: DuplicateMessageId, rows: Sequence[Row]
) -> TransactionConflict | None:
    """Return the error for messages that were not stored when the write started.

    A concurrent transaction has stored one of them since. A retry sees its metadata.
    """
    ids = {message.id for _, message, *_ in rows}
    # The server also refuses messages of one call that differ from each other, and messages that
    # row-level security hides. A retry would change nothing.
    cause = error.__cause__
    if len(ids) < len(rows) or cause is None or sqlstate_of(cause) != _RAISED_BY_STORE:
        return None
    return TransactionConflict(
        f"Retry the whole transaction (message {error.id} was written concurrently)",
        sqlstate="40001",
    )


def _content(text: str | None, names: frozenset[str]) -> Any:
    """Return metadata without its trace context, for comparison."""
    try:
        # PostgreSQL keeps all digits of a number.
        metadata = None if text is None else json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        return text
    if not isinstance(metadata, dict):
        return metadata
    properties = metadata.get("properties")
    if isinstance(properties, dict):
        others = {name: value for name, value in properties.items() if name not in names}
        metadata = {**metadata, "properties": others}
        if not others:
            del metadata["properties"]
    return metadata or None
