"""Writes with the server function `write_messages`, in one call or, if large, in several."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import (
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

from mdb_sqla import functions
from mdb_sqla.database.execution import WRITES, Database, connection_of, execute, is_autocommit
from mdb_sqla.errors import (
    DuplicateMessageId,
    InvalidArgument,
    MessageStoreError,
    WrongExpectedVersion,
)
from mdb_sqla.store.message_limits import MAX_CALL_LENGTH, Row, identify_rejected_message, length_of
from mdb_sqla.store.repeated_messages import conflict_of_repeat, with_stored_metadata
from mdb_sqla.tables import messages
from mdb_sqla.words.message import MessagePosition

__all__ = ["call"]

# One document for all messages: one parameter, one round trip.
_messages = cast(bindparam("messages", type_=Text), JSONB)
_expected_versions = cast(bindparam("expected_versions", type_=Text), JSONB)
_WRITE_MESSAGES = select(
    functions.write_messages(_messages, _expected_versions, bindparam("idempotent"))
)

# Writes nothing, and so returns no positions, if any of the messages is already stored.
# Each id is looked up by itself: for an array of unknown length, the plan that PostgreSQL keeps
# would scan the table if that was small when the plan was made. OFFSET prevents a join.
_new_id = func.unnest(bindparam("ids", type_=ARRAY(Uuid))).column_valued("new_id")
_look_up = select(true()).where(messages.c.id == _new_id).offset(literal_column("0"))
_is_repeat = exists(select(_new_id).where(_look_up.scalar_subquery()))
_known = select(_is_repeat.label("is_repeat")).subquery("known")
_new = functions.write_messages(
    case((_known.c.is_repeat, literal_column("'[]'::jsonb")), else_=_messages),
    case((~_known.c.is_repeat, _expected_versions)),
    bindparam("idempotent"),
).lateral("new")
_WRITE_NEW_MESSAGES = select(_new.c.position, _new.c.global_position).select_from(
    _known.join(_new, true())
)


def call(
    db: Database,
    rows: Sequence[Row],
    expected_versions: Mapping[str, int],
    idempotent: bool,
    untraced: Mapping[UUID, str | None],
) -> list[MessagePosition]:
    """Write all messages or none, and return their positions.

    Several calls are equivalent to one: the first locks all streams and checks their versions.

    Args:
        db: the session or connection.
        rows: the messages.
        expected_versions: the versions that streams must have before anything is written.
        idempotent: whether to skip messages that are already stored. The trace context may differ.
        untraced: the metadata without a trace context, by message id.

    Raises:
        InvalidArgument: several calls are needed, and the connection is AUTOCOMMIT.
        InvalidMessage: PostgreSQL rejects a message.
        TransactionConflict: a message was written concurrently, with another trace context.
    """
    if not (idempotent and untraced):
        return _call_in_chunks(db, rows, expected_versions, idempotent)
    try:
        if length_of(rows) <= MAX_CALL_LENGTH:
            new = {"ids": [message.id for _, message, *_ in rows]}
            positions = _call(db, rows, expected_versions, idempotent, _WRITE_NEW_MESSAGES, new)
            if positions:
                return positions
    except DuplicateMessageId as error:
        if (conflict := conflict_of_repeat(error, rows)) is None:
            raise
        raise conflict from error
    rows = with_stored_metadata(db, rows, untraced)
    return _call_in_chunks(db, rows, expected_versions, idempotent)


def _call_in_chunks(
    db: Database, rows: Sequence[Row], expected_versions: Mapping[str, int], idempotent: bool
) -> list[MessagePosition]:
    chunks = _chunks(rows)
    if len(chunks) == 1:
        return _call(db, rows, expected_versions, idempotent)
    connection = connection_of(db)
    if is_autocommit(connection):
        raise InvalidArgument(
            f"{len(rows)} messages with {length_of(rows):,} characters of JSON exceed the maximum "
            f"of {MAX_CALL_LENGTH:,} per call and require a transaction; the connection is "
            "AUTOCOMMIT"
        )
    try:
        expected_versions = _lock(db, connection, rows, expected_versions, idempotent)
        return [
            position
            for chunk in chunks
            for position in _call(db, chunk, expected_versions, idempotent)
        ]
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
    expected_versions: Mapping[str, int],
    idempotent: bool,
) -> Mapping[str, int]:
    """Lock all streams and check their versions; return the versions still to be checked."""
    versions = dict.fromkeys((row[0] for row in rows), None) | dict(expected_versions)
    connection.exec_driver_sql("SAVEPOINT mdb_sqla_call")
    try:
        _call(db, (), versions, idempotent)
    except WrongExpectedVersion:
        if not idempotent:
            raise
        # Versions are not checked if all messages are already stored, which each call determines.
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT mdb_sqla_call")
        return expected_versions
    connection.exec_driver_sql("RELEASE SAVEPOINT mdb_sqla_call")
    return {}


def _chunks(rows: Sequence[Row]) -> list[Sequence[Row]]:
    if length_of(rows) <= MAX_CALL_LENGTH:
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
    expected_versions: Mapping[str, int | None],
    idempotent: bool,
    statement: Select[Any] = _WRITE_MESSAGES,
    more: Mapping[str, Any] | None = None,
) -> list[MessagePosition]:
    parameters = {
        "messages": _document(rows),
        "expected_versions": json.dumps(expected_versions) if expected_versions else None,
        "idempotent": idempotent,
        **(more or {}),
    }
    with identify_rejected_message(rows):
        positions = execute(db, statement, parameters, WRITES)
    return [MessagePosition._make(row) for row in positions if row[0] is not None]


def _document(rows: Iterable[Row]) -> str:
    """Return the messages as a JSON array that embeds the JSON text of data and metadata."""
    names: dict[str, str] = {}
    objects = []
    for stream_name, message, data, metadata in rows:
        name = names.get(stream_name) or names.setdefault(stream_name, json.dumps(stream_name))
        # An omitted key is NULL, as opposed to JSON null.
        objects.append(
            f'{{"id":"{message.id}","stream_name":{name},"type":{json.dumps(message.type)}'
            + (f',"data":{data}' if data is not None else "")
            + (f',"metadata":{metadata}' if metadata is not None else "")
            + "}"
        )
    return "[" + ",".join(objects) + "]"
