"""Reads of an entity's stream, as rows whose JSON is not decoded yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    false,
    func,
    literal_column,
    select,
    true,
    type_coerce,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB

from mdb_sqla import functions, tables
from mdb_sqla.column_types import time_column
from mdb_sqla.database.execution import Database, dialect_of, execute_raw
from mdb_sqla.store.message_decoder import from_rows, object_text
from mdb_sqla.words.message import StoredMessage

__all__ = [
    "PAGE",
    "RECORDED",
    "Anchor",
    "Row",
    "anchor_of",
    "identity_of",
    "is_erased",
    "message_of",
    "read_rows",
    "read_with_snapshot",
]

PAGE = 5000
"""The maximum number of messages that one statement reads."""

RECORDED = "Recorded"
"""The message type of snapshots, as in Eventide."""

Row = Sequence[Any]
"""A message: id, type, position, global position, data, metadata, time, and two flags.

The id, the data and the metadata are text. The first flag says whether the reading transaction has
written nothing so far, the second whether the row is a snapshot.
"""

_EMPTY = "{}"
_ERASED = '{"erased": true}'  # as PostgreSQL formats it


class Anchor(NamedTuple):
    """The message that identifies what a state was computed from.

    It is the last message up to the state's version that has contents, because erasing the stream
    changes it; or any, if none has contents, and so nothing can be erased. Messages are not changed
    otherwise: as long as it is in the stream, the messages before it are the same. Those after it
    are not: see `State.last`.

    Attributes:
        position: its position in the stream.
        id: its id as text; None if it is not known.
        global_position: its global position; None if it is not known.
        time: its time, which differs if a restored store repeats ids and positions; None if it is
            not known.
    """

    position: int
    id: str | None
    global_position: int | None = None
    time: object = None

    def matches(self, row: Row) -> bool:
        """Whether a row is this message, with its contents."""
        return self.is_at(row) and not is_erased(row)

    def is_at(self, row: Row) -> bool:
        """Whether a row is this message, even if its contents were erased."""
        id_, _, position, global_position, _, _, time, *_ = row
        return (
            position == self.position
            and self.id in (None, str(id_))
            and self.global_position in (None, global_position)
            and self.time in (None, time)
        )


def is_erased(row: Row) -> bool:
    """Return whether the contents of a message were erased."""
    return bool(row[5] == _ERASED and row[4] == _EMPTY)


def anchor_of(rows: Sequence[Row], before: Anchor | None = None) -> Anchor:
    """Return the anchor of a state, from the messages that follow those of another anchor."""
    for row in reversed(rows):
        if row[4] != _EMPTY or row[5] not in (_EMPTY, _ERASED):
            return identity_of(row)
    return identity_of(rows[-1]) if before is None else before


def identity_of(row: Row) -> Anchor:
    """Return what identifies the message of a row."""
    id_, _, position, global_position, _, _, time, *_ = row
    return Anchor(position, str(id_), global_position, time)


def _columns(messages: FromClause, is_snapshot: ColumnElement[bool]) -> Select[Any]:
    return select(
        type_coerce(messages.c.id, Text).label("id"),
        messages.c.type.label("type"),
        messages.c.position.label("position"),
        messages.c.global_position.label("global_position"),
        object_text(messages.c.data).label("data"),
        object_text(messages.c.metadata).label("metadata"),
        time_column(messages.c.time).label("time"),
        func.pg_catalog.pg_current_xact_id_if_assigned().is_(None).label("is_unwritten"),
        is_snapshot.label("is_snapshot"),
    )


def _text_at(json: ColumnElement[Any], path: str) -> ColumnElement[str]:
    return json.op("#>>", return_type=Text())(literal_column(f"{path}::text[]"))


def _number(text: ColumnElement[str]) -> ColumnElement[Any]:
    """Return an expression: a text as a position, or NULL if it isn't one."""
    return case((text.regexp_match("^[0-9]{1,18}$"), cast(text, BigInteger)))


_STREAM = _columns(
    functions.get_stream_messages(
        bindparam("stream_name"), bindparam("position"), bindparam("batch_size"), None
    ),
    false(),
)


def _with_snapshot() -> Any:
    last = functions.get_last_stream_message(bindparam("snapshot_stream"), RECORDED)
    data: ColumnElement[Any] = cast(object_text(last.c.data), JSONB)
    metadata: ColumnElement[Any] = cast(object_text(last.c.metadata), JSONB)
    version = _number(_text_at(data, "'{entityVersion}'"))
    anchor = _number(_text_at(metadata, "'{localProperties,anchorPosition}'"))
    schema = func.coalesce(_text_at(metadata, "'{schemaVersion}'"), "1")
    found = (
        _columns(last, true())
        .add_columns(func.least(version, func.coalesce(anchor, version)).label("start"))
        .where(and_(schema == bindparam("schema_version", type_=Text), version.is_not(None)))
        .cte("snapshot")
    )
    start = func.coalesce(select(found.c.start).scalar_subquery(), 0)
    events = functions.get_stream_messages(
        bindparam("stream_name"), start, bindparam("batch_size"), None
    )
    snapshot = select(*(column for column in found.c if column.name != "start"))
    return union_all(snapshot, _columns(events, false()))


_SNAPSHOT_AND_STREAM = _with_snapshot()


def read_rows(db: Database, stream_name: str, position: int) -> Sequence[Row]:
    """Read up to `PAGE` messages of a stream from a position on."""
    parameters = {"stream_name": stream_name, "position": position, "batch_size": PAGE}
    return execute_raw(db, _STREAM, parameters, tables.messages)


def read_with_snapshot(
    db: Database, stream_name: str, snapshot_stream: str, schema_version: int
) -> tuple[Row | None, Sequence[Row]]:
    """Read the last snapshot, and up to `PAGE` messages from its anchor on.

    A snapshot of another version of the state's schema, or without a version of the entity, is
    ignored. Without a snapshot, the messages are read from the beginning.
    """
    parameters = {
        "stream_name": stream_name,
        "snapshot_stream": snapshot_stream,
        "schema_version": str(schema_version),
        "batch_size": PAGE,
    }
    rows = execute_raw(db, _SNAPSHOT_AND_STREAM, parameters, tables.messages)
    if rows and rows[0][8]:
        return rows[0], rows[1:]
    return None, rows


def message_of(db: Database, stream_name: str, row: Row) -> StoredMessage:
    """Return the message of a row.

    Raises:
        UndecodableMessage: its JSON or its time can't be decoded.
    """
    id_, type_, position, global_position, data, metadata, time, *_ = row
    columns = (id_, stream_name, type_, position, global_position, data, metadata, time)
    return from_rows([columns], dialect_of(db, tables.messages))[0]
