"""Decoding of rows into messages, one by one if any of them can't be decoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ClauseElement,
    ColumnElement,
    Dialect,
    Executable,
    FromClause,
    Select,
    Text,
    Uuid,
    cast,
    func,
    literal_column,
    select,
    type_coerce,
)

from mdb_sqla.column_types import json_deserializer, normalized, time_column
from mdb_sqla.database.execution import Database, dialect_of, execute_raw
from mdb_sqla.errors import UndecodableMessage
from mdb_sqla.words.message import StoredMessage

__all__ = ["decoded", "fetch", "from_rows", "object_text", "select_messages"]

_Deserialize = Callable[[str], Any]


class _Undecoded(StoredMessage):
    """A message that could not be decoded: its data and metadata are JSON text.

    Its time is None if Python can't represent it.
    """

    deserialize: _Deserialize

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors that contain this message must be picklable; a deserializer often is not.
        return StoredMessage, tuple(self)


def select_messages(messages: FromClause, *before: ColumnElement[Any]) -> Select[Any]:
    """Select messages in a form in which only their JSON still has to be decoded."""
    return select(
        *before,
        # Drivers create UUIDs faster than Python code does.
        cast(type_coerce(messages.c.id, Text), Uuid),
        messages.c.stream_name,
        messages.c.type,
        messages.c.position,
        messages.c.global_position,
        object_text(messages.c.data),
        object_text(messages.c.metadata),
        time_column(messages.c.time),
    )


def object_text(json: ColumnElement[Any]) -> ColumnElement[str]:
    """Return the text of a JSON value; for NULL and JSON null, that of an empty object."""
    # As text: a driver that decodes JSON itself would fail for the whole result.
    value = func.nullif(cast(json, Text), literal_column("'null'"))
    return func.coalesce(value, literal_column("'{}'"))


def fetch(
    db: Database,
    statement: Executable,
    parameters: dict[str, Any],
    bound_as: ClauseElement,
    *,
    with_undecoded: bool = False,
) -> list[StoredMessage]:
    """Return the messages of a `select_messages` statement; see `from_rows`."""
    # Rejects an unsupported driver.
    dialect = dialect_of(db, bound_as)
    rows = execute_raw(db, statement, parameters, bound_as)
    return from_rows(rows, dialect, with_undecoded=with_undecoded)


def from_rows(
    rows: Sequence[Sequence[Any]], dialect: Dialect, *, with_undecoded: bool = False
) -> list[StoredMessage]:
    """Return the messages of the rows of a `select_messages` statement.

    Args:
        rows: the driver's rows, without the columns before the message.
        dialect: the engine's dialect.
        with_undecoded: whether to return messages that can't be decoded, for `decoded`.

    Raises:
        UndecodableMessage: a message can't be decoded.
    """
    deserialize = json_deserializer(dialect)
    rows = normalized(rows)
    # Avoids the named tuple's constructor, a Python function, for each message.
    new, combine = tuple.__new__, datetime.combine
    try:
        return [
            new(
                StoredMessage,
                (
                    id_,
                    stream_name,
                    type_,
                    position,
                    global_position,
                    deserialize(data),
                    deserialize(metadata),
                    combine(time, time.time(), UTC),
                ),
            )
            for id_, stream_name, type_, position, global_position, data, metadata, time in rows
        ]
    except Exception:
        # Find out which message failed.
        return _one_by_one(rows, deserialize, with_undecoded)


def _one_by_one(
    rows: Sequence[Sequence[Any]], deserialize: _Deserialize, with_undecoded: bool
) -> list[StoredMessage]:
    messages: list[StoredMessage] = []
    for *values, time in rows:
        when = None if time is None else datetime.combine(time, time.time(), UTC)
        message = _Undecoded._make([*values, when])
        message.deserialize = deserialize
        try:
            messages.append(decoded(message))
        except UndecodableMessage as error:
            if not with_undecoded:
                error.before = messages
                raise
            messages.append(message)
    return messages


def decoded(message: StoredMessage) -> StoredMessage:
    """Return a message, decoding it if it was returned undecoded.

    Raises:
        UndecodableMessage: the message can't be decoded.
    """
    if not isinstance(message, _Undecoded):
        return message
    try:
        if message.time is None:
            raise ValueError("its time is infinite or outside the years 1 to 9999")
        data, metadata = map(message.deserialize, (message.data, message.metadata))
    except Exception as error:
        raise UndecodableMessage(message, error) from error
    return StoredMessage(*message)._replace(data=data, metadata=metadata)
