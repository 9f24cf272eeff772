from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple, TypedDict
from uuid import UUID, uuid5

from mdb_sqla.errors import InvalidArgument, InvalidMessage, NoReplyStream
from mdb_sqla.words.argument_checks import described, is_storable, plain, text
from mdb_sqla.words.stream_name import StreamName

if sys.version_info >= (3, 14):
    from uuid import uuid7
else:
    from uuid_utils.compat import uuid7

__all__ = ["Message", "MessagePosition", "Metadata", "StoredMessage"]


_TAKEN_OVER = ("correlationStreamName", "replyStreamName", "properties")


class Metadata(TypedDict, total=False):
    """What is known about a message beside its data, under the keys that are stored.

    Keys beyond these are allowed, and are stored and read as they are.
    """

    causationMessageStreamName: str
    causationMessagePosition: int
    causationMessageGlobalPosition: int
    correlationStreamName: str
    replyStreamName: str
    schemaVersion: str
    properties: dict[str, Any]
    localProperties: dict[str, Any]


class StoredMessage(NamedTuple):
    """A message as it is read.

    `position` counts from 0 in the stream without gaps, `global_position` orders the whole store
    and may have gaps. `time` is when the writing transaction began, in UTC. A NULL
    reads as an empty object, in `data` and in `metadata`.
    """

    id: UUID
    stream_name: str
    type: str
    position: int
    global_position: int
    data: Any
    metadata: Metadata
    time: datetime

    def derived_id(self, name: str) -> UUID:
        """Return an id for something that this message causes: the same for the same name, always.

        For what a handler does outside of this database, where it may be done again: whoever
        receives a message with such an id knows whether it has it already. It is a UUID of version
        5, in the namespace of this message's id.

        Raises:
            InvalidArgument: the name is no string, or is empty.
        """
        return uuid5(self.id, text("The name of a derived id", name))


class MessagePosition(NamedTuple):
    """Where a message was written: its position in the stream, from 0, and in the whole store."""

    position: int
    global_position: int


@dataclass(frozen=True, slots=True)
class Message:
    """A message to be written.

    `data` and `metadata` are whatever the engine's JSON serializer takes; metadata is an object.
    The id is a time-ordered UUID (version 7) unless one is given: consecutive ids touch
    neighbouring pages of the unique index. A message is told by its id, so an object that is
    written again to the same stream is a repeat, and not stored twice: make one for each time that
    something happens.

    Raises:
        InvalidMessage: the type is empty, the id is no UUID, or the metadata no mapping.
    """

    type: str
    data: Any = None
    metadata: Metadata | Mapping[str, Any] | None = None
    id: UUID = field(default_factory=uuid7)

    def __post_init__(self) -> None:
        if not isinstance(self.type, str) or not self.type or not is_storable(self.type):
            raise InvalidMessage(
                self,
                "the type must be a string that is not empty, without NUL and surrogates: "
                f"{described(self.type)}",
            )
        object.__setattr__(self, "type", plain(self.type))
        if not isinstance(self.id, UUID):
            raise InvalidMessage(self, f"the id must be a uuid.UUID: {described(self.id)}")
        if self.metadata is not None and not isinstance(self.metadata, Mapping):
            raise InvalidMessage(
                self, f"the metadata must be a mapping: {described(self.metadata)}"
            )

    def follow(self, preceding: StoredMessage) -> Message:
        """Return this message as one that was caused by another.

        The causation keys name the preceding message; the correlation, reply stream and properties
        that it has replace this message's own. Its local properties are left behind.

        Raises:
            InvalidArgument: the preceding message is none that was read.
        """
        if not isinstance(preceding, StoredMessage):
            raise InvalidArgument(
                f"A message follows a StoredMessage, one that was read: {described(preceding)}"
            )
        metadata = {
            **(self.metadata or {}),
            "causationMessageStreamName": preceding.stream_name,
            "causationMessagePosition": preceding.position,
            "causationMessageGlobalPosition": preceding.global_position,
        }
        # Metadata that another client wrote may be any JSON.
        known = preceding.metadata if isinstance(preceding.metadata, dict) else {}
        taken = {key: known.get(key) for key in _TAKEN_OVER}
        metadata.update({key: value for key, value in taken.items() if value is not None})
        return replace(self, metadata=metadata)

    def with_correlation(self, stream_name: str) -> Message:
        """Return this message as one whose consequences are correlated with a stream.

        What follows it takes that over, and who reads with a `correlation` of the stream's category
        gets what this message has caused.

        Raises:
            InvalidStreamName: it is no stream name.
        """
        return self._with(correlationStreamName=StreamName(stream_name))

    def with_reply_stream(self, stream_name: str) -> Message:
        """Return this message as one that asks for a reply in a stream. See `reply`.

        Raises:
            InvalidStreamName: it is no stream name.
        """
        return self._with(replyStreamName=StreamName(stream_name))

    def reply(self, preceding: StoredMessage) -> tuple[StreamName, Message]:
        """Return the stream that a preceding message asks to be answered in, and the answer.

        The answer follows the preceding message, without its reply stream.

        Raises:
            NoReplyStream: the preceding message names none.
        """
        metadata = {**(self.follow(preceding).metadata or {})}
        stream_name = metadata.pop("replyStreamName", None)
        if not isinstance(stream_name, str) or not stream_name:
            raise NoReplyStream(preceding)
        return StreamName(stream_name), replace(self, metadata=metadata)

    def _with(self, **metadata: Any) -> Message:
        return replace(self, metadata={**(self.metadata or {}), **metadata})
