"""The fold of an entity: its state is what its events made of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from mdb_sqla import tables
from mdb_sqla.column_types import json_deserializer
from mdb_sqla.database.execution import Database, dialect_of
from mdb_sqla.entities.appliers import Applier, function_applier, method_appliers
from mdb_sqla.entities.event_rows import Row, is_erased, message_of
from mdb_sqla.entities.message_encryption import ENCRYPTED, MessageEncryption
from mdb_sqla.errors import EntityErased, EventsMissing, FoldFailed, InvalidArgument
from mdb_sqla.message_types import MessageTypes
from mdb_sqla.words.argument_checks import described, instance
from mdb_sqla.words.message import StoredMessage

__all__ = ["Fold"]

_S = TypeVar("_S")


class _Step(NamedTuple):
    """What is done with the events of one message type."""

    decode: Callable[[str], Any]
    version: int
    apply: Applier


class Fold(Generic[_S]):
    """Computes a state from events.

    Args:
        initial: returns the state without events.
        types: the message types of the events.
        evolve: returns the state after an event; None if the class of the state has methods that
            are marked with `apply`.
        encryption: decrypts personal data.

    Raises:
        InvalidArgument: an argument is invalid, or there is neither `evolve` nor such a method.
    """

    def __init__(
        self,
        initial: Callable[[], _S],
        types: MessageTypes,
        evolve: Callable[[_S, Any], _S] | None,
        encryption: MessageEncryption,
    ) -> None:
        if not callable(initial):
            raise InvalidArgument(
                "The initial state must be a class or a function without arguments, got "
                f"{described(initial)}"
            )
        self.initial = initial
        self.types = instance("types", types, MessageTypes)
        self._encryption = encryption
        appliers = (
            method_appliers(initial, types)
            if evolve is None
            else dict.fromkeys(types.classes.values(), function_applier(evolve))
        )
        self._steps = {
            name: _Step(decode, version, appliers[class_])
            for name, (class_, version, decode) in types._text_decoders().items()
        }

    def rows(
        self, db: Database, stream_name: str, state: _S, rows: Sequence[Row], position: int
    ) -> _S:
        """Return the state after the messages of rows.

        Args:
            db: the session or connection that the rows were read from.
            stream_name: the stream.
            state: the state before them.
            rows: the rows.
            position: the position that the first of them must have.

        Raises:
            EventsMissing: a position is missing.
            EntityErased: the contents of a message were erased.
            UnknownMessageType: the type of a message is not one of the message types.
            DecodingFailed: the data of a message is not valid.
            DecryptionFailed: a message can't be decrypted.
            FoldFailed: an event can't be applied.
        """
        steps, is_plain_json = self._steps, _is_plain_json(db)
        for row in rows:
            type_, at, data, metadata = row[1], row[2], row[4], row[5]
            if at != position:
                raise EventsMissing(stream_name, position, at)
            position += 1
            step = steps.get(type_)
            # Most messages are decoded from their text, which is several times as fast.
            if step is None or not is_plain_json or not _is_current(metadata, step.version):
                event = self._decoded(db, stream_name, row)
                step = steps[type_]
            else:
                try:
                    event = step.decode(data)
                except Exception:
                    # Again, with an error that names the message.
                    event = self._decoded(db, stream_name, row)
            try:
                state = step.apply(state, event)
            except Exception as error:
                raise _failed(stream_name, at, type_, error) from error
        return state

    def message(self, state: _S, message: StoredMessage) -> _S:
        """Return the state after a message that is not encrypted. See `rows` for the errors."""
        event = self.types.decode(message)
        try:
            new: _S = self._steps[message.type].apply(state, event)
        except Exception as error:
            raise _failed(message.stream_name, message.position, message.type, error) from error
        return new

    def _decoded(self, db: Database, stream_name: str, row: Row) -> Any:
        if is_erased(row):
            raise EntityErased(stream_name, row[2])
        return self.types.decode(self._encryption.decrypt(message_of(db, stream_name, row)))


def _failed(stream_name: str, position: int, type_: str, error: Exception) -> FoldFailed:
    return FoldFailed(stream_name, position, type_, f"{type(error).__name__}: {error}")


def _is_plain_json(db: Database) -> bool:
    """Return whether the engine decodes JSON as the libraries of the classes do."""
    deserialize = json_deserializer(dialect_of(db, tables.messages))
    return deserialize is json.loads or getattr(deserialize, "__module__", None) == "orjson"


def _is_current(metadata: str, version: int) -> bool:
    """Return whether a message needs neither upcasting nor decryption, and is not erased."""
    if metadata == "{}":
        return version == 1
    if "erased" in metadata or ENCRYPTED in metadata:
        return False
    if "schemaVersion" in metadata:
        found = json.loads(metadata)
        return isinstance(found, dict) and str(found.get("schemaVersion") or 1) == str(version)
    return version == 1
