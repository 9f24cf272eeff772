"""Errors for invalid arguments and messages."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from mdb_sqla.errors.base import InvalidArgument, MessageStoreError
from mdb_sqla.errors.display import name_of, shown

__all__ = [
    "DecodingFailed",
    "InvalidLine",
    "InvalidMessage",
    "InvalidSchemaName",
    "InvalidStreamName",
    "NoReplyStream",
    "UndecodableMessage",
    "UnknownMessageType",
]


class InvalidStreamName(InvalidArgument):
    """An invalid stream name, or an invalid part of one.

    Attributes:
        value: the name or the part.
    """

    def __init__(self, value: object, rule: str) -> None:
        super().__init__(f"Invalid stream name {shown(value)}: {rule}")
        self.value = value


class InvalidSchemaName(InvalidArgument):
    """A schema name that is empty, is longer than 63 bytes, or contains `$`, a bracket or NUL.

    Attributes:
        value: the name.
    """

    def __init__(self, value: str) -> None:
        super().__init__(
            f"Invalid schema name {value!r}: it must be 1 to 63 bytes long, without $, [, ] or NUL"
        )
        self.value = value


class InvalidLine(InvalidArgument):
    """A line of a JSON Lines file that is not a valid message. Its transaction is not committed.

    Attributes:
        number: the line number, from 1.
    """

    def __init__(self, number: int, rule: str) -> None:
        super().__init__(f"Line {number}: {rule}")
        self.number = number


class InvalidMessage(MessageStoreError, ValueError):
    """A message that can't be stored because of its type, id, data or metadata.

    If a write raises it, nothing was written. Roll back the transaction, or to a savepoint, as
    after any failed statement.

    Attributes:
        message: the message.
    """

    def __init__(self, message: Any, rule: str) -> None:
        id_ = message.id if isinstance(message.id, UUID) else shown(message.id)
        super().__init__(f"Invalid message of type {shown(message.type)} and id {id_}: {rule}")
        self.message = message


class UndecodableMessage(MessageStoreError, ValueError):
    """A stored message that can't be decoded; `__cause__` is the reason.

    Either the engine's JSON deserializer failed, or the message's time is infinite or outside the
    years 1 to 9999.

    The transaction is not affected. A consumer treats the error like a failed handler.

    Attributes:
        stream_name: the stream.
        position: the message's position in the stream.
        global_position: the message's global position.
        before: the messages that the same read returned before this one.
    """

    def __init__(self, message: Any, error: Exception) -> None:
        remedy = (
            "have the owner of the store correct its time"
            if message.time is None
            else "pass create_engine() a json_deserializer that accepts it"
        )
        super().__init__(
            f"Message {message.global_position} of type {message.type!r}, position "
            f"{message.position} of stream {message.stream_name}, can't be decoded: "
            f"{type(error).__name__}: {error}. `mdb print` shows it undecoded; to read it, "
            f"{remedy}"
        )
        self.stream_name: str = message.stream_name
        self.position: int = message.position
        self.global_position: int = message.global_position
        self.before: list[Any] = []


def _place_of(message: Any, type: str = "") -> str:  # noqa: A002
    """Name a message with its position, or with its id if it isn't stored yet."""
    if message.global_position < 0:
        return f"Message {message.id}{type}, for stream {message.stream_name}"
    return (
        f"Message {message.global_position}{type}, position {message.position} of stream "
        f"{message.stream_name}"
    )


class UnknownMessageType(MessageStoreError, LookupError):
    """A stored or received message whose type is none of the application's message types.

    Attributes:
        message: the message.
    """

    def __init__(self, message: Any, names: list[str]) -> None:
        super().__init__(
            f"{_place_of(message)}, has the unknown type {shown(message.type)}; the message types "
            f"are {', '.join(names)}"
        )
        self.message = message


class DecodingFailed(MessageStoreError, ValueError):
    """A stored or received message whose data is not valid; `__cause__` is the reason.

    A consumer treats the error like a failed handler.

    Attributes:
        message: the message.
    """

    def __init__(self, message: Any, class_: type, error: Exception) -> None:
        reason = " ".join(str(error).split()) or type(error).__name__
        super().__init__(
            f"{_place_of(message, f' of type {message.type!r}')}, is not a valid "
            f"{name_of(class_)}: {reason}"
        )
        self.message = message


class NoReplyStream(InvalidArgument):
    """A reply to a message whose metadata has no reply stream.

    Attributes:
        message: the message to reply to.
    """

    def __init__(self, message: Any) -> None:
        super().__init__(
            f"Can't reply to message {message.position} of stream {message.stream_name}: its "
            "metadata has no replyStreamName"
        )
        self.message = message
