"""The writes of a message store, written once for the sync and the async store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import JSON, BigInteger, Text, bindparam, cast, column, func, insert, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from mdb_sqla import functions, tables
from mdb_sqla.column_types import json_serializer
from mdb_sqla.errors import InvalidArgument, InvalidMessage
from mdb_sqla.execution import Database, execute
from mdb_sqla.message import Message
from mdb_sqla.stream_name import NO_STREAM, StreamName, is_storable

__all__ = ["Write", "write", "write_all"]

_BOUND_AS = insert(tables.messages)

_ONE = select(
    functions.write_message(
        bindparam("id"),
        bindparam("stream_name"),
        bindparam("type"),
        cast(bindparam("data", type_=Text), JSONB),
        cast(bindparam("metadata", type_=Text), JSONB),
        bindparam("expected_version"),
    )
)

# One document for all messages: one parameter, one round trip, all or nothing. A key that is left
# out is NULL, whereas a JSON null stays one.
_entry = (
    func.jsonb_array_elements(cast(bindparam("entries", type_=Text), JSONB))
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
    func.jsonb_array_elements_text(cast(bindparam("categories", type_=Text), JSONB))
    .table_valued(column("name", Text), with_ordinality="number", name="category")
    .render_derived()
)
_LOCKS = select(functions.acquire_lock(_category.c.name)).order_by(_category.c.number)


class _Entry(NamedTuple):
    """A message with its data and metadata as JSON text; None for NULL."""

    message: Message
    data: str | None
    metadata: str | None


class Write(NamedTuple):
    """Messages for one stream, checked and serialized."""

    stream_name: StreamName
    entries: Sequence[_Entry]
    expected_version: int | None

    @classmethod
    def checked(
        cls,
        db: Database,
        stream_name: str,
        messages: Message | Iterable[Message],
        expected_version: int | None,
    ) -> Write:
        """Check what an application hands in, and serialize it as its engine does.

        Raises:
            InvalidStreamName: the stream name is none.
            InvalidArgument: there is no message, something else among the messages, or the expected
                version is no integer from -1 on.
            InvalidMessage: data or metadata is not JSON.
        """
        name = StreamName(stream_name)
        if isinstance(messages, Message):
            messages = (messages,)
        elif not isinstance(messages, Iterable):
            raise InvalidArgument(f"What is written must be a Message: {messages!r}")
        if expected_version is not None and (
            not isinstance(expected_version, int)
            or isinstance(expected_version, bool)
            or not NO_STREAM <= expected_version < 2**63
        ):
            raise InvalidArgument(
                f"expected_version must be an integer from {NO_STREAM} (NO_STREAM) on, or None: "
                f"{expected_version!r}"
            )
        bind = db.get_bind(clause=_BOUND_AS) if isinstance(db, Session) else db
        serialize = json_serializer(bind.dialect)
        entries = [_entry_of(message, serialize) for message in messages]
        if not entries:
            raise InvalidArgument(f"There must be at least one message to write to {name!r}")
        return cls(name, entries, expected_version)


def write(
    db: Database,
    stream_name: str,
    messages: Message | Iterable[Message],
    expected_version: int | None,
) -> int:
    return write_all(db, [Write.checked(db, stream_name, messages, expected_version)])[0]


def write_all(db: Database, writes: Sequence[Write]) -> list[int]:
    """Write all messages or none, in the order given; returns the last position of each write.

    The locks of several categories are taken first, in one order for all writers, so that no two of
    them wait for each other.
    """
    try:
        if len(writes) == 1 and len(writes[0].entries) == 1:
            return [_write_one(db, writes[0])]
        categories = sorted({write.stream_name.category for write in writes})
        if len(categories) > 1:
            execute(db, _LOCKS, {"categories": json.dumps(categories)}, _BOUND_AS)
        rows = execute(db, _SEVERAL, {"entries": _document(writes)}, _BOUND_AS)
    except DBAPIError as error:
        # Class 22 is SQL's "data exception".
        if not (getattr(error.orig, "sqlstate", None) or "").startswith("22"):
            raise
        invalid = _first_invalid(entry for write in writes for entry in write.entries)
        if invalid is None:
            raise
        raise invalid from error
    ends = []
    end = -1
    for write in writes:
        end += len(write.entries)
        ends.append(rows[end][0])
    return ends


def _write_one(db: Database, write: Write) -> int:
    (entry,) = write.entries
    parameters = {
        "id": entry.message.id,
        "stream_name": write.stream_name,
        "type": entry.message.type,
        "data": entry.data,
        "metadata": entry.metadata,
        "expected_version": write.expected_version,
    }
    ((position,),) = execute(db, _ONE, parameters, _BOUND_AS)
    return position  # type: ignore[no-any-return]


def _document(writes: Sequence[Write]) -> str:
    """Return the array of all messages; data and metadata go into it as the text that they are."""
    objects = []
    for write in writes:
        expected_version = write.expected_version
        for entry in write.entries:
            members = [
                f'"id":"{entry.message.id}"',
                f'"stream_name":{json.dumps(str(write.stream_name))}',
                f'"type":{json.dumps(entry.message.type)}',
            ]
            if entry.data is not None:
                members.append(f'"data":{entry.data}')
            if entry.metadata is not None:
                members.append(f'"metadata":{entry.metadata}')
            if expected_version is not None:
                members.append(f'"expected_version":{expected_version}')
            objects.append("{" + ",".join(members) + "}")
            # The lock is held from the first message on, so its version is the only one to check.
            expected_version = None
    return "[" + ",".join(objects) + "]"


def _entry_of(message: object, serialize: Callable[[Any], str | bytes]) -> _Entry:
    if not isinstance(message, Message):
        raise InvalidArgument(f"What is written must be a Message: {message!r}")

    def text_of(name: str, value: Any) -> str | None:
        if value is None:
            return None
        try:
            text = "null" if value is JSON.NULL else serialize(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidMessage(message, f"the {name} must be JSON: {error}") from error
        # Some serializers, orjson's among them, return bytes.
        return text.decode() if isinstance(text, bytes) else text

    return _Entry(message, text_of("data", message.data), text_of("metadata", message.metadata))


def _first_invalid(entries: Iterable[_Entry]) -> InvalidMessage | None:
    """Find the message whose JSON PostgreSQL has refused, and what is wrong with it."""
    for entry in entries:
        for name, text in (("data", entry.data), ("metadata", entry.metadata)):
            try:
                value = json.loads(text or "null", parse_constant=_refuse_constant)
            except (ValueError, RecursionError) as error:
                return InvalidMessage(entry.message, f"the {name} must be JSON: {error}")
            if not all(is_storable(string) for string in _strings(value)):
                return InvalidMessage(
                    entry.message, f"PostgreSQL stores no NUL and no surrogates in JSON: {name}"
                )
    return None


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON value")
