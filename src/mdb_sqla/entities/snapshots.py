"""Snapshots of entities, in the format of Eventide."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from mdb_sqla.database.execution import Database
from mdb_sqla.entities.event_rows import RECORDED, Anchor, Row, message_of
from mdb_sqla.entities.message_encryption import MessageEncryption
from mdb_sqla.entities.state import State, is_same
from mdb_sqla.errors import InvalidArgument, SubjectForgotten
from mdb_sqla.message_types.codecs import codec_of
from mdb_sqla.words.argument_checks import described, integer
from mdb_sqla.words.message import Message
from mdb_sqla.words.stream_name import StreamName, category_name

__all__ = ["SnapshotFormat", "Snapshots"]

_S = TypeVar("_S")


@dataclass(frozen=True)
class Snapshots:
    """How the states of entities are recorded.

    A snapshot is a message of type `Recorded`. For the entity `account-123`, it is in the stream
    `account:snapshot-123`, as in Eventide. It is only used if it has this version, can be decoded
    and fits the stream; otherwise, the state is computed from all events.

    Attributes:
        every: the number of events after which a snapshot is written, in the same transaction.
        version: the version of the state's class and of what its events do. Increase it if either
            changes; snapshots of other versions are ignored.
        category: the category of the snapshots; by default that of the entities with the type
            `snapshot`. Eventide derives it from the name of the entity's class.

    Raises:
        InvalidArgument: `every` or `version` is not a positive integer, or `category` is not a
            category.
    """

    every: int
    version: int = 1
    category: str | None = None

    def __post_init__(self) -> None:
        integer("every", self.every, 1)
        integer("version", self.version, 1)
        if self.category is not None:
            category_name(self.category)


class SnapshotFormat(Generic[_S]):
    """Converts states to snapshots and back.

    Args:
        snapshots: how states are recorded.
        category: the category of the entities.
        class_: the class of the state.
        encryption: encrypts personal data.

    Raises:
        InvalidArgument: the class can't be converted to JSON, or the personal data of snapshots is
            not named.
    """

    def __init__(
        self,
        snapshots: Snapshots,
        category: StreamName,
        class_: type[_S],
        encryption: MessageEncryption,
    ) -> None:
        if not isinstance(snapshots, Snapshots):
            raise InvalidArgument(
                f"snapshots must be Snapshots(...) or None, got {described(snapshots)}"
            )
        if encryption and not encryption.has_personal_data(RECORDED):
            raise InvalidArgument(
                f"The encryption must name the personal data of {RECORDED!r}, such as "
                'PersonalData("entityData.id", ["entityData.name"]), or [] if snapshots have none: '
                "otherwise they would contain what the events encrypt"
            )
        self.every = snapshots.every
        self.version = snapshots.version
        self._category = snapshots.category
        self._of = category
        self._class = class_
        self._codec = codec_of(class_, "recorded as a snapshot")
        self._encryption = encryption

    def stream_name(self, entity: StreamName) -> StreamName:
        """Return the stream with the snapshots of an entity."""
        category = self._category
        if category is None:
            separator = "+" if ":" in self._of else ":"
            category = f"{self._of}{separator}snapshot"
        return StreamName(f"{category}-{entity.id}")

    def encode(self, name: StreamName, state: _S) -> Any:
        """Return the JSON of a state.

        Raises:
            InvalidArgument: the state can't be converted, or would be another one after decoding.
        """
        try:
            data = self._codec.encode(state)
            decoded = self._codec.decode(data)
        except Exception as error:
            # The libraries' errors have no common class.
            raise InvalidArgument(
                f"The state of {name} can't be recorded as a snapshot: {error}"
            ) from error
        if not is_same(decoded, state):
            raise InvalidArgument(
                f"The state of {name} can't be recorded as a snapshot: {described(state)} is "
                f"decoded as {described(decoded)}"
            )
        return data

    def message(self, name: StreamName, state: State[_S]) -> Message | None:
        """Return a snapshot; None if its personal data belongs to a forgotten subject.

        Raises:
            InvalidArgument: the state can't be recorded.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        data = {
            "entityData": self.encode(name, state.value),
            "entityVersion": state.version,
            "time": now,
        }
        metadata: dict[str, Any] = {}
        if (anchor := state.anchor) is not None:
            metadata["localProperties"] = {
                "anchorPosition": anchor.position,
                "anchorId": anchor.id,
            }
        if self.version > 1:
            metadata["schemaVersion"] = str(self.version)
        try:
            return self._encryption.encrypt(Message(RECORDED, data, metadata))
        except SubjectForgotten:
            return None

    def state(self, db: Database, name: StreamName, row: Row) -> State[_S] | None:
        """Return the state that a snapshot has recorded; None if it can't be decoded."""
        try:
            message = self._encryption.decrypt(message_of(db, self.stream_name(name), row))
            version = int(message.data["entityVersion"])
            local = dict(message.metadata.get("localProperties") or {})
            anchor = Anchor(int(local.get("anchorPosition", version)), local.get("anchorId"))
            value: _S = self._codec.decode(message.data["entityData"])
        except Exception:
            # Another client may have written anything, and the libraries' errors have no common
            # class.
            return None
        return State(value, version, anchor, version) if anchor.position <= version else None
