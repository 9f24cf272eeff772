"""The writes of a message store, written once for the sync and the async store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Text, bindparam, cast, column, func, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.orm import Session

from mdb_sqla import functions, tables
from mdb_sqla.column_types import json_serializer
from mdb_sqla.errors import InvalidArgument, InvalidMessage
from mdb_sqla.execution import Database, execute
from mdb_sqla.message import Message
from mdb_sqla.stream_name import NO_STREAM, StreamName

__all__ = ["Write", "write", "write_all"]

_ONE = select(
    functions.write_message(
        bindparam("id"),
        bindparam("stream_name"),
        bindparam("type"),
        bindparam("data"),
        bindparam("metadata"),
        bindparam("expected_version"),
    )
)

# One document for all messages: one parameter, one round trip, all or nothing. A key that is left
# out is NULL, whereas a JSON null would stay one.
_entry = (
    func.jsonb_array_elements(bindparam("entries", type_=JSONB))
    .table_valued(column("value", JSONB), with_ordinality="number", name="entry")
    .render_derived()
)
_value = _entry.c.value
_SEVERAL = select(
    functions.write_message(
        _value["id"].astext,
        _value["stream_name"].astext,
        _value["type"].astext,
        _value["data"],
        _value["metadata"],
        cast(_value["expected_version"].astext, BigInteger),
    )
).order_by(_entry.c.number)

_category = (
    func.jsonb_array_elements_text(bindparam("categories", type_=JSONB))
    .table_valued(column("name", Text), with_ordinality="number", name="category")
    .render_derived()
)
_LOCKS = select(functions.acquire_lock(_category.c.name)).order_by(_category.c.number)


class Write(NamedTuple):
    """Messages for one stream, checked."""

    stream_name: StreamName
    messages: Sequence[Message]
    expected_version: int | None

    @classmethod
    def checked(
        cls,
        stream_name: str,
        messages: Message | Iterable[Message],
        expected_version: int | None,
    ) -> Write:
        """Check what an application hands in.

        Raises:
            InvalidStreamName: the stream name is none.
            InvalidArgument: there is no message, something else among the messages, or the expected
                version is no integer from -1 on.
        """
        if isinstance(messages, Message):
            messages = (messages,)
        elif isinstance(messages, Iterable):
            messages = tuple(messages)
        else:
            raise InvalidArgument(f"What is written must be a Message: {messages!r}")
        if not messages:
            raise InvalidArgument(f"There must be at least one message to write to {stream_name!r}")
        for message in messages:
            if not isinstance(message, Message):
                raise InvalidArgument(f"What is written must be a Message: {message!r}")
        if expected_version is not None and (
            not isinstance(expected_version, int) or not NO_STREAM <= expected_version < 2**63
        ):
            raise InvalidArgument(
                f"expected_version must be an integer from {NO_STREAM} (NO_STREAM) on, or None: "
                f"{expected_version!r}"
            )
        return cls(StreamName(stream_name), messages, expected_version)


def write(
    db: Database,
    stream_name: str,
    messages: Message | Iterable[Message],
    expected_version: int | None,
) -> int:
    return write_all(db, [Write.checked(stream_name, messages, expected_version)])[0]


def write_all(db: Database, writes: Sequence[Write]) -> list[int]:
    """Write all messages or none, in the order given; returns the last position of each write.

    The locks of several categories are taken first, in one order for all writers, so that no two of
    them wait for each other.
    """
    messages = [message for write in writes for message in write.messages]
    try:
        if len(messages) == 1:
            return [_write_one(db, writes[0])]
        categories = sorted({write.stream_name.category for write in writes})
        if len(categories) > 1:
            execute(db, _LOCKS, {"categories": categories})
        positions = execute(db, _SEVERAL, {"entries": _entries(writes)}).scalars().all()
    except (StatementError, TypeError, ValueError, RecursionError) as error:
        if isinstance(error, DBAPIError) and not _is_data_error(error):
            raise
        invalid = _first_invalid(db, messages)
        if invalid is None:
            raise
        raise invalid from error
    ends = []
    end = -1
    for write in writes:
        end += len(write.messages)
        ends.append(positions[end])
    return ends


def _write_one(db: Database, write: Write) -> int:
    message = write.messages[0]
    parameters = {
        "id": message.id,
        "stream_name": write.stream_name,
        "type": message.type,
        "data": message.data,
        "metadata": message.metadata,
        "expected_version": write.expected_version,
    }
    position: int = execute(db, _ONE, parameters).scalar_one()
    return position


def _entries(writes: Sequence[Write]) -> list[dict[str, Any]]:
    entries = []
    for write in writes:
        expected_version = write.expected_version
        for message in write.messages:
            entry = {
                "id": str(message.id),
                "stream_name": write.stream_name,
                "type": message.type,
                "data": message.data,
                "metadata": message.metadata,
                "expected_version": expected_version,
            }
            entries.append({key: value for key, value in entry.items() if value is not None})
            # The lock is held from the first message on, so its version is the only one to check.
            expected_version = None
    return entries


def _is_data_error(error: DBAPIError) -> bool:
    # Class 22 is SQL's "data exception"; psycopg refuses some text before the server sees it.
    sqlstate = getattr(error.orig, "sqlstate", None)
    return sqlstate is None or sqlstate.startswith("22")


def _first_invalid(db: Database, messages: Iterable[Message]) -> InvalidMessage | None:
    bind = db.get_bind(clause=tables.messages) if isinstance(db, Session) else db
    serialize = json_serializer(bind.dialect)
    for message in messages:
        for name in ("data", "metadata"):
            try:
                value = json.loads(
                    serialize(getattr(message, name)), parse_constant=_refuse_constant
                )
                text = json.dumps(value, ensure_ascii=False)
                text.encode()
            except (TypeError, ValueError, RecursionError) as error:
                return InvalidMessage(message, f"the {name} must be JSON: {error}")
            if "\\u0000" in text:
                return InvalidMessage(message, f"PostgreSQL stores no NUL in JSON: {name}")
    return None


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON value")
