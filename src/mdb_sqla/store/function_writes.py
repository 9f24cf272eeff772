"""Writes messages by the server's function: in one call, or in several where they are long."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, Text, bindparam, cast, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError

from mdb_sqla import functions
from mdb_sqla.database.execution import WRITES, Database, connection_of, execute, is_autocommit
from mdb_sqla.errors import InvalidArgument, MessageStoreError, WrongExpectedVersion
from mdb_sqla.store.message_limits import LONGEST_CALL, Row, length_of, refused_messages_named
from mdb_sqla.words.message import MessagePosition

__all__ = ["call"]

# One document for all messages: one parameter, one round trip.
_WRITE_MESSAGES = select(
    functions.write_messages(
        cast(bindparam("messages", type_=Text), JSONB),
        cast(bindparam("expected_versions", type_=Text), JSONB),
        bindparam("idempotent"),
    )
)


def call(
    db: Database, rows: Sequence[Row], expected_versions: Mapping[str, int], idempotent: bool
) -> list[MessagePosition]:
    """Write all messages or none, and return their positions.

    Where it takes several calls, they do together what one would: the first locks all streams and
    compares their versions.

    Raises:
        InvalidArgument: it takes several calls, and each would be a transaction of its own.
        InvalidMessage: PostgreSQL does not take a message.
    """
    parts = _parts(rows)
    if len(parts) == 1:
        return _call(db, rows, expected_versions, idempotent)
    connection = connection_of(db)
    if is_autocommit(connection):
        raise InvalidArgument(
            f"{len(rows)} messages with {length_of(rows):,} characters of JSON are more than the "
            f"{LONGEST_CALL:,} of one call: they need a transaction; the connection is AUTOCOMMIT"
        )
    try:
        expected_versions = _lock(db, connection, rows, expected_versions, idempotent)
        return [
            position
            for part in parts
            for position in _call(db, part, expected_versions, idempotent)
        ]
    except (DBAPIError, MessageStoreError):
        # The server lets nothing be committed any more.
        raise
    except BaseException as error:
        # Interrupted, or out of memory: what is written by now must not be committed.
        connection.invalidate(error)
        raise


def _lock(
    db: Database,
    connection: Connection,
    rows: Sequence[Row],
    expected_versions: Mapping[str, int],
    idempotent: bool,
) -> Mapping[str, int]:
    """Lock all streams and compare their versions; returns the versions still to be compared."""
    versions = dict.fromkeys((row[0] for row in rows), None) | dict(expected_versions)
    connection.exec_driver_sql("SAVEPOINT mdb_sqla_call")
    try:
        _call(db, (), versions, idempotent)
    except WrongExpectedVersion:
        if not idempotent:
            raise
        # If all messages are stored already, versions don't matter: each call finds that out.
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT mdb_sqla_call")
        return expected_versions
    connection.exec_driver_sql("RELEASE SAVEPOINT mdb_sqla_call")
    return {}


def _parts(rows: Sequence[Row]) -> list[Sequence[Row]]:
    if length_of(rows) <= LONGEST_CALL:
        return [rows]
    parts: list[Sequence[Row]] = []
    part: list[Row] = []
    length = 0
    for row in rows:
        of_row = length_of((row,))
        if part and length + of_row > LONGEST_CALL:
            parts.append(part)
            part, length = [], 0
        part.append(row)
        length += of_row
    return [*parts, part]


def _call(
    db: Database,
    rows: Sequence[Row],
    expected_versions: Mapping[str, int | None],
    idempotent: bool,
) -> list[MessagePosition]:
    parameters = {
        "messages": _document(rows),
        "expected_versions": json.dumps(expected_versions) if expected_versions else None,
        "idempotent": idempotent,
    }
    with refused_messages_named(rows):
        positions = execute(db, _WRITE_MESSAGES, parameters, WRITES)
    return [MessagePosition._make(row) for row in positions if row[0] is not None]


def _document(rows: Iterable[Row]) -> str:
    """Return the array of all messages; data and metadata go into it as the text that they are."""
    names: dict[str, str] = {}
    objects = []
    for stream_name, message, data, metadata in rows:
        name = names.get(stream_name) or names.setdefault(stream_name, json.dumps(stream_name))
        # A key that is left out is NULL, whereas a JSON null stays one.
        objects.append(
            f'{{"id":"{message.id}","stream_name":{name},"type":{json.dumps(message.type)}'
            + (f',"data":{data}' if data is not None else "")
            + (f',"metadata":{metadata}' if metadata is not None else "")
            + "}"
        )
    return "[" + ",".join(objects) + "]"
