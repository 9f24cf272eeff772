"""The writes of a message store, written once for the sync and the async store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import JSON

from mdb_sqla.column_types import json_serializer
from mdb_sqla.database.execution import (
    Database,
    check_written,
    connection_of,
    dialect_of,
    is_intercepted,
)
from mdb_sqla.errors import (
    InvalidArgument,
    InvalidMessage,
    WrongExpectedVersion,
)
from mdb_sqla.store.copy_writes import LEAST_TO_COPY, copy
from mdb_sqla.store.function_writes import call
from mdb_sqla.store.message_limits import LONGEST_CALL, check_length, length_of
from mdb_sqla.wake_up.notifier import announce
from mdb_sqla.words.argument_checks import described, flag, name_of
from mdb_sqla.words.message import Message, MessagePosition, StoredMessage
from mdb_sqla.words.stream_name import NO_STREAM, StreamName

__all__ = ["Write", "write", "write_all", "write_messages"]

# Iterating over one would show its keys or characters, and not what was passed.
_NO_MESSAGES = (str, bytes, Mapping, StoredMessage)

_Entry = tuple[Message, str | None, str | None]
"""A message with its data and metadata as JSON text; None for NULL."""


class Write(NamedTuple):
    """Messages for one stream, checked and serialized; without any, it is an expected version."""

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
        elif isinstance(messages, _NO_MESSAGES) or not isinstance(messages, Iterable):
            _checked(messages, messages)
        if expected_version is not None:
            expected_version = _version(expected_version)
        serialize = json_serializer(dialect_of(db))
        entries = [_entry_of(_checked(message, messages), serialize) for message in messages]
        if not entries:
            raise InvalidArgument(f"There must be at least one message to write to {name!r}")
        return cls(name, entries, expected_version)

    @classmethod
    def of_pair(cls, pair: object, serialize: Callable[[Any], str]) -> Write:
        """Check one of many pairs of a stream name and a message.

        Raises:
            InvalidStreamName: the stream name is none.
            InvalidArgument: it is no such pair.
            InvalidMessage: data or metadata is not JSON.
        """
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise InvalidArgument(
                f"What is written must be a stream name and a Message: {described(pair)}"
            )
        stream_name, message = pair
        entry = _entry_of(_checked(message, message), serialize)
        return cls(StreamName(stream_name), (entry,), None)

    @classmethod
    def expecting(cls, stream_name: str, version: int) -> Write:
        """Return what writes nothing, and is refused where the stream has another version.

        Raises:
            InvalidStreamName: the stream name is none.
            InvalidArgument: the version is no integer from -1 on.
        """
        return cls(StreamName(stream_name), (), _version(version))


def write(
    db: Database,
    stream_name: str,
    messages: Message | Iterable[Message],
    expected_version: int | None,
    idempotent: bool,
) -> int:
    flag("idempotent", idempotent)
    write = Write.checked(db, stream_name, messages, expected_version)
    ((*_, last),) = write_all(db, [write], idempotent=idempotent)
    return last.position


def write_messages(
    db: Database,
    messages: Iterable[tuple[str, Message]],
    expected_versions: Mapping[str, int] | None,
    idempotent: bool,
) -> list[MessagePosition]:
    flag("idempotent", idempotent)
    if not isinstance(messages, Iterable):
        raise InvalidArgument(
            f"What is written must be pairs of a name and a Message: {described(messages)}"
        )
    if not isinstance(expected_versions, Mapping | None):
        raise InvalidArgument(
            f"expected_versions must be versions by stream name: {described(expected_versions)}"
        )
    writes = [Write.expecting(name, version) for name, version in (expected_versions or {}).items()]
    serialize = json_serializer(dialect_of(db))
    writes += [Write.of_pair(pair, serialize) for pair in messages]
    if not writes:
        return []
    return [position for (position,) in filter(None, write_all(db, writes, idempotent=idempotent))]


def write_all(
    db: Database, writes: Sequence[Write], *, idempotent: bool = True
) -> list[list[MessagePosition]]:
    """Write all messages or none, in the order given; returns the positions of each write.

    Raises:
        WrongExpectedVersion: a stream is at another version.
        DuplicateMessageId: a message with the same id, and, if `idempotent`, with other content, is
            stored already.
        InvalidMessage: PostgreSQL does not take the JSON of a message.
        TransactionConflict: run the whole transaction again.
    """
    expectations = _expectations(writes)
    versions = {name: version for name, (version, _) in expectations.items()}
    rows = [(write.stream_name, *entry) for write in writes for entry in write.entries]
    positions = None
    if (len(rows) >= LEAST_TO_COPY or length_of(rows) > LONGEST_CALL) and not is_intercepted(db):
        positions = copy(connection_of(db), rows, versions)
    if positions is None:
        try:
            positions = call(db, rows, versions, idempotent)
        except WrongExpectedVersion as error:
            _, before = expectations.get(error.stream_name, (0, 0))
            if not before:
                raise
            raise _wrong_version(
                error.stream_name, error.expected_version + before, error.stream_version + before
            ) from error
    check_written(len(positions), len(rows))
    if rows:
        categories = {write.stream_name.category for write in writes if write.entries}
        announce(connection_of(db), categories)
    following = iter(positions)
    return [[next(following) for _ in write.entries] for write in writes]


def _expectations(writes: Sequence[Write]) -> dict[str, tuple[int, int]]:
    """Return the version that each stream is expected to have before anything is written.

    With it stands how many messages come before the write that expects it: that one expects as
    much more.

    Raises:
        WrongExpectedVersion: of two writes to one stream, one can't be right.
    """
    before: Counter[str] = Counter()
    ids: set[UUID] = set()
    expectations: dict[str, tuple[int, int]] = {}
    for write in writes:
        name = write.stream_name
        if write.expected_version is not None:
            # What is only expected was read before anything is written.
            written = before[name] if write.entries else 0
            version = write.expected_version - written
            known, _ = expectations.setdefault(name, (version, written))
            if known != version:
                raise _wrong_version(name, write.expected_version, known + written)
        for message, *_ in write.entries:
            # A repeat is not written again.
            if message.id not in ids:
                ids.add(message.id)
                before[name] += 1
    return expectations


def _wrong_version(
    stream_name: str, expected_version: int, stream_version: int
) -> WrongExpectedVersion:
    return WrongExpectedVersion(
        f"Wrong expected version: {expected_version} "
        f"(Stream: {stream_name}, Stream Version: {stream_version})",
        stream_name=stream_name,
        expected_version=expected_version,
        stream_version=stream_version,
    )


def _entry_of(message: Message, serialize: Callable[[Any], str]) -> _Entry:
    name = "data"
    try:
        data = _text_of(message.data, serialize)
        name = "metadata"
        metadata = _text_of(message.metadata, serialize)
    except Exception as error:
        # A serializer may have errors of its own.
        raise InvalidMessage(message, f"the {name} must be JSON: {error}") from error
    check_length(message, data, metadata)
    return message, data, metadata


def _text_of(value: Any, serialize: Callable[[Any], str]) -> str | None:
    if value is None:
        return None
    return "null" if value is JSON.NULL else serialize(value)


def _checked(message: object, among: object) -> Message:
    if isinstance(message, Message):
        return message
    # What is no list of messages may be a single one, of a kind that can be iterated over.
    where = "" if among is message else f", in a {name_of(type(among))}"
    raise InvalidArgument(
        f"What is written must be a {name_of(Message)}: {described(message)}{where}"
    )


def _version(version: object) -> int:
    if (
        not isinstance(version, int)
        or isinstance(version, bool)
        or not NO_STREAM <= version < 2**63
    ):
        raise InvalidArgument(
            f"expected_version must be an integer from {NO_STREAM} (NO_STREAM) on, or None: "
            f"{described(version)}"
        )
    return int(version)
