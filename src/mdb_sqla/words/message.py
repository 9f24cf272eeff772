from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple, TypedDict
from uuid import UUID, uuid5

from mdb_sqla.errors import InvalidMessage, NoReplyStream
from mdb_sqla.words.argument_checks import described, instance, is_storable, plain, text
from mdb_sqla.words.stream_name import StreamName
from mdb_sqla.words.tags import with_tags

if sys.version_info >= (3, 14):
    from uuid import uuid7
else:
    from uuid_utils.compat import uuid7

__all__ = ["Message", "MessagePosition", "Metadata", "StoredMessage"]


_PROPAGATED = ("correlationStreamName", "replyStreamName", "properties")
_ERASED = {"erased": True}


class Metadata(TypedDict, total=False):
    """Message metadata, with the keys as they are stored. Other keys are allowed."""

    causationMessageStreamName: str
    causationMessagePosition: int
    causationMessageGlobalPosition: int
    correlationStreamName: str
    replyStreamName: str
    schemaVersion: str
    tags: list[str]
    properties: dict[str, Any]
    localProperties: dict[str, Any]


class StoredMessage(NamedTuple):
    """A message read from the store.

    `position` is the offset in the stream, from 0 and without gaps. `global_position` orders all
    messages of the store and may have gaps. `time` is when the writing transaction started, in UTC.
    `data` and `metadata` stored as NULL are read as an empty object.
    """

    id: UUID
    stream_name: str
    type: str
    position: int
    global_position: int
    data: Any
    metadata: Metadata
    time: datetime

    @property
    def is_erased(self) -> bool:
        """Whether the data and metadata of this message were erased with `erase_stream`."""
        return self.metadata == _ERASED and self.data == {}

    def derived_id(self, name: str) -> UUID:
        """Return a deterministic id for an effect of this message.

        Use it as the idempotency key of effects outside this database, which a handler may repeat:
        the receiver recognizes a duplicate by its id. The same name always gives the same id, a
        version 5 UUID in the namespace of this message's id.

        Raises:
            InvalidArgument: the name is not a string, or is empty.
        """
        return uuid5(self.id, text("name", name))


class MessagePosition(NamedTuple):
    """The position of a written message: in its stream, from 0, and in the whole store."""

    position: int
    global_position: int


@dataclass(frozen=True, slots=True)
class Message:
    """A message to write.

    `data` can be any value that the engine's JSON serializer accepts; `metadata` must be a mapping.
    The default id is a time-ordered UUID (version 7), which keeps inserts into the unique index
    local. The id identifies the message: writing the same `Message` to the same stream again is
    idempotent, so create a new one for each occurrence.

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
        """Return a copy of this message that follows the message that caused it.

        The causation keys of its metadata identify the preceding message. The correlation stream,
        reply stream and properties of the preceding message replace those of this message; local
        properties are not propagated.

        Raises:
            InvalidArgument: the preceding message is not a `StoredMessage`.
        """
        preceding = instance("preceding", preceding, StoredMessage)
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

        Messages that follow it inherit the correlation, so a category read whose `correlation` is
        the category of that stream returns them.

        Raises:
            InvalidStreamName: the stream name is invalid.
        """
        return self._with(correlationStreamName=StreamName(stream_name))

    def with_tags(self, *tags: str) -> Message:
        """Return a copy of this message with tags, by which queries find it. See `Query`.

        They are added to the tags that it has. Messages that follow it do not inherit them.

        Raises:
            InvalidArgument: a tag is not a non-empty string, or the metadata has something else
                under the key `tags`.
        """
        return replace(self, metadata=with_tags(self.metadata, tags))

    def with_reply_stream(self, stream_name: str) -> Message:
        """Return a copy of this message that requests a reply in a given stream. See `reply`.

        Raises:
            InvalidStreamName: the stream name is invalid.
        """
        return self._with(replyStreamName=StreamName(stream_name))

    def reply(self, preceding: StoredMessage) -> tuple[StreamName, Message]:
        """Return the reply stream of a preceding message, and this message as the reply to it.

        The reply follows the preceding message, but doesn't inherit its reply stream.

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
