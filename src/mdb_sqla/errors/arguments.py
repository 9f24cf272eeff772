"""What an application passes, or has stored, that can't be right."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from mdb_sqla.errors.base import InvalidArgument, MessageStoreError
from mdb_sqla.errors.display import shown

__all__ = [
    "InvalidLine",
    "InvalidMessage",
    "InvalidSchemaName",
    "InvalidStreamName",
    "NoReplyStream",
    "UndecodableMessage",
]


class InvalidStreamName(InvalidArgument):
    """A name that is no stream name, or a part that can't be put into one.

    Attributes:
        value: the name or the part.
    """

    def __init__(self, value: object, rule: str) -> None:
        super().__init__(f"Invalid stream name {shown(value)}: {rule}")
        self.value = value


class InvalidSchemaName(InvalidArgument):
    """A schema name that is empty, longer than 63 bytes, or has a `$`, a bracket or a NUL in it.

    Attributes:
        value: the name.
    """

    def __init__(self, value: str) -> None:
        super().__init__(
            f"Invalid schema name {value!r}: it must have 1 to 63 bytes and no $, [, ] and NUL"
        )
        self.value = value


class InvalidLine(InvalidArgument):
    """A line of a file that is no message; nothing of what is written with it is.

    Attributes:
        number: the line's, from 1.
    """

    def __init__(self, number: int, rule: str) -> None:
        super().__init__(f"Line {number}: {rule}")
        self.number = number


class InvalidMessage(MessageStoreError, ValueError):
    """A message that can't be stored, for its type, id, data or metadata.

    Where it comes from a write, nothing is written, and the transaction is as after any failed
    statement.

    Attributes:
        message: the message.
    """

    def __init__(self, message: Any, rule: str) -> None:
        id_ = message.id if isinstance(message.id, UUID) else shown(message.id)
        super().__init__(f"Invalid message of type {shown(message.type)} and id {id_}: {rule}")
        self.message = message


class UndecodableMessage(MessageStoreError, ValueError):
    """Python can't hold a stored message; the `__cause__` says why.

    It is an error of the engine's JSON deserializer, or the message's time is infinite or not in
    the years from 1 to 9999.

    The transaction is as it was. For a consumer it is a failure of the message, like a handler's.

    Attributes:
        stream_name: the stream.
        position: the message's position in the stream.
        global_position: the message's position in the whole store.
        before: the messages of the same read that come before it.
    """

    def __init__(self, message: Any, error: Exception) -> None:
        remedy = (
            "the owner of the store has to give it another time"
            if message.time is None
            else "pass create_engine() a json_deserializer that accepts it"
        )
        super().__init__(
            f"Message {message.global_position} of type {message.type!r}, position "
            f"{message.position} of stream {message.stream_name}, can't be decoded: "
            f"{type(error).__name__}: {error}. `mdb print` shows it as it is stored; to read it, "
            f"{remedy}"
        )
        self.stream_name: str = message.stream_name
        self.position: int = message.position
        self.global_position: int = message.global_position
        self.before: list[Any] = []


class NoReplyStream(InvalidArgument):
    """A reply to a message whose metadata names no reply stream.

    Attributes:
        message: the message that was to be answered.
    """

    def __init__(self, message: Any) -> None:
        super().__init__(
            f"There is no replyStreamName in the metadata of message {message.position} "
            f"of stream {message.stream_name}"
        )
        self.message = message
