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


_PROPAGATED = ("correlationStreamName", "replyStreamName", "properties")


class Metadata(TypedDict, total=False):
    """The metadata of a message, with the keys as stored. Other keys are allowed."""

    causationMessageStreamName: str
    causationMessagePosition: int
    causationMessageGlobalPosition: int
    correlationStreamName: str
    replyStreamName: str
    schemaVersion: str
    properties: dict[str, Any]
    localProperties: dict[str, Any]


class StoredMessage(NamedTuple):
    """A message that was read.

    `position` counts from 0 in the stream without gaps; `global_position` orders the whole store
    and may have gaps. `time` is the start of the writing transaction, in UTC. NULL `data` and
    `metadata` are read as an empty object.
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
        """Return an id for an effect of this message; it is always the same for the same name.

        Use it for effects outside of this database, which a handler may repeat: the receiver
        recognises a duplicate by the id. It is a version 5 UUID in the namespace of this message's
        id.

        Raises:
            InvalidArgument: the name is not a string, or is empty.
        """
        return uuid5(self.id, text("The name of a derived id", name))


class MessagePosition(NamedTuple):
    """The position of a written message in its stream, from 0, and its global position."""

    position: int
    global_position: int


@dataclass(frozen=True, slots=True)
class Message:
    """A message to write.

    `data` and `metadata` may be anything that the engine's JSON serializer accepts; metadata must
    be an object. The default id is a time-ordered UUID (version 7), which keeps inserts into the
    unique index local. A message is identified by its id: writing the same object to the same
    stream again is idempotent, so create a `Message` for each occurrence.

    Raises:
        InvalidMessage: the type is empty, the id is not a UUID, or the metadata is not a mapping.
    """

    type: str
    data: Any = None
    metadata: Metadata | Mapping[str, Any] | None = None
    id: UUID = field(default_factory=uuid7)

    def __post_init__(self) -> None:
        if not isinstance(self.type, str) or not self.type or not is_storable(self.type):
            raise InvalidMessage(
                self,
                "the type must be a non-empty string without NUL or surrogates, got "
                f"{described(self.type)}",
            )
        object.__setattr__(self, "type", plain(self.type))
        if not isinstance(self.id, UUID):
            raise InvalidMessage(self, f"the id must be a uuid.UUID, got {described(self.id)}")
        if self.metadata is not None and not isinstance(self.metadata, Mapping):
            raise InvalidMessage(
                self, f"the metadata must be a mapping, got {described(self.metadata)}"
            )

    def follow(self, preceding: StoredMessage) -> Message:
        """Return a copy of this message that follows another one, which caused it.

        The causation keys name the preceding message. Its correlation, reply stream and properties
        replace those of this message; its local properties are not propagated.

        Raises:
            InvalidArgument: the preceding message is not a `StoredMessage`.
        """
        if not isinstance(preceding, StoredMessage):
            raise InvalidArgument(
                f"The preceding message must be a StoredMessage, got {described(preceding)}"
            )
        metadata = {
            **(self.metadata or {}),
            "causationMessageStreamName": preceding.stream_name,
            "causationMessagePosition": preceding.position,
            "causationMessageGlobalPosition": preceding.global_position,
        }
        # Other clients may write any JSON as metadata.
        known = preceding.metadata if isinstance(preceding.metadata, dict) else {}
        propagated = {key: known.get(key) for key in _PROPAGATED}
        metadata.update({key: value for key, value in propagated.items() if value is not None})
        return replace(self, metadata=metadata)

    def with_correlation(self, stream_name: str) -> Message:
        """Return a copy of this message that is correlated with a stream.

        Messages that follow it inherit the correlation, so that a read with a `correlation` of the
        stream's category returns them.

        Raises:
            InvalidStreamName: the stream name is invalid.
        """
        return self._with(correlationStreamName=StreamName(stream_name))

    def with_reply_stream(self, stream_name: str) -> Message:
        """Return a copy of this message that requests a reply in a stream. See `reply`.

        Raises:
            InvalidStreamName: the stream name is invalid.
        """
        return self._with(replyStreamName=StreamName(stream_name))

    def reply(self, preceding: StoredMessage) -> tuple[StreamName, Message]:
        """Return the reply stream of a preceding message, and this message as the reply.

        The reply follows the preceding message, without its reply stream.

        Raises:
            NoReplyStream: the preceding message has no reply stream.
        """
        metadata = {**(self.follow(preceding).metadata or {})}
        stream_name = metadata.pop("replyStreamName", None)
        if not isinstance(stream_name, str) or not stream_name:
            raise NoReplyStream(preceding)
        return StreamName(stream_name), replace(self, metadata=metadata)

    def _with(self, **metadata: Any) -> Message:
        return replace(self, metadata={**(self.metadata or {}), **metadata})
