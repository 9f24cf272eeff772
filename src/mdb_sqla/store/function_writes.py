"""Writes with the server function `write_messages`, in one call or, if large, in several."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Select,
    Text,
    Uuid,
    bindparam,
    case,
    cast,
    exists,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.selectable import TableValuedAlias

from mdb_sqla import functions
from mdb_sqla.database.citus import is_on_citus
from mdb_sqla.database.execution import WRITES, Database, connection_of, execute, is_autocommit
from mdb_sqla.errors import (
    AppendConditionFailed,
    DuplicateMessageId,
    InvalidArgument,
    MessageStoreError,
    WrongExpectedVersion,
)
from mdb_sqla.store.message_limits import MAX_CALL_LENGTH, Row, identify_rejected_message, length_of
from mdb_sqla.store.repeated_messages import conflict_of_repeat, with_stored_metadata
from mdb_sqla.store.requirements import Requirements
from mdb_sqla.tables import messages
from mdb_sqla.words.message import MessagePosition

__all__ = ["call"]

# One document for all messages: one parameter, one round trip.
_messages = cast(bindparam("messages", type_=Text), JSONB)
_expected_versions = cast(bindparam("expected_versions", type_=Text), JSONB)
_conditions = cast(bindparam("conditions", type_=Text), JSONB)
_idempotent = bindparam("idempotent", type_=Boolean)
_WRITE_MESSAGES = select(functions.write_messages(_messages, _expected_versions, _idempotent))
_WRITE_CONDITIONALLY = select(
    functions.write_conditionally(_messages, _conditions, _expected_versions, _idempotent)
)

# Writes nothing, and so returns no positions, if any of the messages is already stored.
# Each id is looked up by itself: for an array of unknown length, the plan that PostgreSQL keeps
# would scan the table if that was small when the plan was made. OFFSET prevents a join.
_new_id = func.unnest(bindparam("ids", type_=ARRAY(Uuid))).column_valued("new_id")
_look_up = select(true()).where(messages.c.id == _new_id).offset(literal_column("0"))
_is_repeat = exists(select(_new_id).where(_look_up.scalar_subquery()))
_known = select(_is_repeat.label("is_repeat")).subquery("known")


def _unless_repeat(document: ColumnElement[Any]) -> ColumnElement[Any]:
    return case((_known.c.is_repeat, literal_column("'[]'::jsonb")), else_=document)


def _if_new(written: TableValuedAlias) -> Select[Any]:
    new = written.lateral("new")
    return select(new.c.position, new.c.global_position).select_from(_known.join(new, true()))


_new_messages = _unless_repeat(_messages)
_new_versions = case((~_known.c.is_repeat, _expected_versions))
_WRITE_NEW = _if_new(functions.write_messages(_new_messages, _new_versions, _idempotent))
_WRITE_NEW_CONDITIONALLY = _if_new(
    functions.write_conditionally(
        _new_messages, _unless_repeat(_conditions), _new_versions, _idempotent
    )
)

_quoted = json.JSONEncoder().encode  # skips what `json.dumps` does for other arguments


def call(
    db: Database,
    rows: Sequence[Row],
    required: Requirements,
    idempotent: bool,
    untraced: Mapping[UUID, str | None],
) -> list[MessagePosition]:
    """Write all messages or none, and return their positions.

    Several calls are equivalent to one: the first locks everything and checks the requirements.

    Args:
        db: the session or connection.
        rows: the messages.
        required: what must hold before anything is written.
        idempotent: whether to skip messages that are already stored. The trace context may differ.
        untraced: the metadata without a trace context, by message id.

    Raises:
        InvalidArgument: several calls are needed, and the connection is AUTOCOMMIT.
        InvalidMessage: PostgreSQL rejects a message.
        TransactionConflict: a message was written concurrently, with another trace context.
    """
    if not (idempotent and untraced):
        return _call_in_chunks(db, rows, required, idempotent)
    try:
        # Citus can't execute the statement.
        if length_of(rows) <= MAX_CALL_LENGTH and not is_on_citus(db):
            new = {"ids": [message.id for _, message, *_ in rows]}
            positions = _call(db, rows, required, idempotent, new)
            if positions:
                return positions
    except DuplicateMessageId as error:
        if (conflict := conflict_of_repeat(error, rows)) is None:
            raise
        raise conflict from error
    rows = with_stored_metadata(db, rows, untraced)
    return _call_in_chunks(db, rows, required, idempotent)


def _call_in_chunks(
    db: Database, rows: Sequence[Row], required: Requirements, idempotent: bool
) -> list[MessagePosition]:
    chunks = _chunks(rows)
    if len(chunks) == 1:
        return _call(db, rows, required, idempotent)
    connection = connection_of(db)
    if is_autocommit(connection):
        raise InvalidArgument(
            f"{len(rows)} messages with {length_of(rows):,} characters of JSON exceed the maximum "
            f"of {MAX_CALL_LENGTH:,} per call and require a transaction; the connection is "
            "AUTOCOMMIT"
        )
    try:
        required = _lock(db, connection, rows, required, idempotent)
        return [position for chunk in chunks for position in _call(db, chunk, required, idempotent)]
    except (DBAPIError, MessageStoreError):
        # The transaction has failed and can't be committed.
        raise
    except BaseException as error:
        # Interrupted or out of memory: earlier chunks must not be committed.
        connection.invalidate(error)
        raise


def _lock(
    db: Database,
    connection: Connection,
    rows: Sequence[Row],
    required: Requirements,
    idempotent: bool,
) -> Requirements:
    """Lock everything and check the requirements; return those that are still to be checked."""
    versions = dict.fromkeys((row[0] for row in rows), None) | dict(required.versions)
    connection.exec_driver_sql("SAVEPOINT mdb_sqla_call")
    try:
        _call(db, (), required._replace(versions=versions), idempotent)
    except (AppendConditionFailed, WrongExpectedVersion):
        if not idempotent:
            raise
        # Nothing is required if all messages are already stored, which each call determines.
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT mdb_sqla_call")
        return required
    connection.exec_driver_sql("RELEASE SAVEPOINT mdb_sqla_call")
    return Requirements({})


def _chunks(rows: Sequence[Row]) -> list[Sequence[Row]]:
    if len(rows) == 1 or length_of(rows) <= MAX_CALL_LENGTH:
        return [rows]
    chunks: list[Sequence[Row]] = []
    chunk: list[Row] = []
    length = 0
    for row in rows:
        row_length = length_of((row,))
        if chunk and length + row_length > MAX_CALL_LENGTH:
            chunks.append(chunk)
            chunk, length = [], 0
        chunk.append(row)
        length += row_length
    return [*chunks, chunk]


def _call(
    db: Database,
    rows: Sequence[Row],
    required: Requirements,
    idempotent: bool,
    if_new: Mapping[str, Any] | None = None,
) -> list[MessagePosition]:
    if required.conditions is None:
        statement = _WRITE_MESSAGES if if_new is None else _WRITE_NEW
    else:
        statement = _WRITE_CONDITIONALLY if if_new is None else _WRITE_NEW_CONDITIONALLY
    parameters = {
        "messages": _document(rows),
        "idempotent": idempotent,
        **required.parameters(),
        **(if_new or {}),
    }
    with identify_rejected_message(rows):
        positions = execute(db, statement, parameters, WRITES)
    return [MessagePosition._make(row) for row in positions if row[0] is not None]


def _document(rows: Iterable[Row]) -> str:
    """Return the messages as a JSON array that embeds the JSON text of data and metadata."""
    names: dict[str, str] = {}
    objects = []
    for stream_name, message, data, metadata in rows:
        name = names.get(stream_name) or names.setdefault(stream_name, _quoted(stream_name))
        # An omitted key is NULL, as opposed to JSON null.
        objects.append(
            f'{{"id":"{message.id}","stream_name":{name},"type":{_quoted(message.type)}'
            + (f',"data":{data}' if data is not None else "")
            + (f',"metadata":{metadata}' if metadata is not None else "")
            + "}"
        )
    return "[" + ",".join(objects) + "]"
