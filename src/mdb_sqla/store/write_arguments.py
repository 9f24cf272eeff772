"""Validation and serialization of write arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import JSON

from mdb_sqla.column_types import json_serializer
from mdb_sqla.database.execution import Database, dialect_of
from mdb_sqla.errors import InvalidArgument, InvalidMessage
from mdb_sqla.message_types import MessageTypes
from mdb_sqla.store.message_limits import check_length
from mdb_sqla.store.query_documents import checked_conditions
from mdb_sqla.telemetry import fields, instrumentation, own_properties
from mdb_sqla.words.argument_checks import described, name_of
from mdb_sqla.words.message import Message, StoredMessage
from mdb_sqla.words.query import AppendCondition
from mdb_sqla.words.stream_name import NO_STREAM, StreamName
from mdb_sqla.words.tags import checked_tags

if TYPE_CHECKING:
    from opentelemetry.context import Context

__all__ = ["Origin", "Write", "WriteOptions", "traced_fields"]

# These are not iterated over, so errors show the value instead of its keys or characters.
_NOT_MESSAGES = (str, bytes, Mapping, StoredMessage)

_Entry = tuple[Message, str | None, str | None]
"""A message with its data and metadata as JSON text; None for NULL."""


class Origin(NamedTuple):
    """Where messages come from: the trace context in which they were passed to this package.

    Attributes:
        context: the context.
        properties: the JSON of each message's properties, without a trace context; None for a
            message whose metadata must not be changed.
    """

    context: Context
    properties: Sequence[str | None]


def traced_fields() -> frozenset[str] | None:
    """Return the fields of a trace context if messages get one; None if no spans are recorded."""
    found = instrumentation()
    return None if found is None or found.tracer is None else fields()


class WriteOptions(NamedTuple):
    """How to write messages to a stream, as passed by the caller.

    Attributes:
        expected_version: the expected version; None for any version.
        tags: tags of all messages; None for no tags.
        unless: append conditions; None for no conditions.
        types: the message types; None if only a `Message` is accepted.
    """

    expected_version: int | None = None
    tags: Iterable[str] | None = None
    unless: AppendCondition | Iterable[AppendCondition] | None = None
    types: MessageTypes | None = None


class Write(NamedTuple):
    """Validated and serialized messages for one stream, or only an expected version."""

    stream_name: StreamName
    entries: Sequence[_Entry]
    expected_version: int | None
    origin: Origin | None = None
    conditions: Sequence[AppendCondition] = ()

    @classmethod
    def checked(
        cls,
        db: Database,
        stream_name: str,
        messages: object,
        options: WriteOptions,
    ) -> Write:
        """Validate messages, and serialize them with the engine's serializer.

        Raises:
            InvalidStreamName: the stream name is invalid.
            InvalidArgument: there is no message, an element is neither a `Message` nor an instance
                of a message type, the expected version is not an integer of at least -1, or a tag
                or a condition is invalid.
            InvalidMessage: data or metadata is not JSON.
        """
        name = StreamName(stream_name)
        expected_version, given_tags, unless, types = options
        tags = () if given_tags is None else checked_tags(given_tags)
        # Some classes of typed messages are iterable.
        if isinstance(messages, Message) or (types is not None and type(messages) in types):
            messages = (messages,)
        elif isinstance(messages, _NOT_MESSAGES) or not isinstance(messages, Iterable):
            messages = (_checked(messages, messages, types),)
        if expected_version is not None:
            expected_version = _version(expected_version)
        serialize = json_serializer(dialect_of(db))
        conditions = checked_conditions(unless, types)
        entries = [
            _entry_of(_tagged(_checked(each, messages, types), tags), serialize)
            for each in messages
        ]
        if not entries:
            raise InvalidArgument(f"No messages to write to {name!r}: pass at least one")
        origin = _origin_of(entries, serialize, traced_fields())
        return cls(name, entries, expected_version, origin, conditions)

    @classmethod
    def of_pair(
        cls,
        pair: object,
        serialize: Callable[[Any], str],
        traced: frozenset[str] | None = None,
        *,
        types: MessageTypes | None = None,
    ) -> Write:
        """Validate and serialize a pair of a stream name and a message.

        Args:
            pair: the pair.
            serialize: the engine's serializer.
            traced: the fields of the trace context that the message gets; None if it gets none.
            types: the message types; None if only a `Message` is accepted.

        Raises:
            InvalidStreamName: the stream name is invalid.
            InvalidArgument: the argument is not such a pair.
            InvalidMessage: data or metadata is not JSON.
        """
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise InvalidArgument(
                f"messages must be pairs of a stream name and a Message, got {described(pair)}"
            )
        stream_name, message = pair
        entry = _entry_of(_checked(message, message, types), serialize)
        origin = _origin_of((entry,), serialize, traced)
        return cls(StreamName(stream_name), (entry,), None, origin)

    @classmethod
    def expecting(cls, stream_name: str, version: int) -> Write:
        """Return a write without messages, which only checks the stream's version.

        Raises:
            InvalidStreamName: the stream name is invalid.
            InvalidArgument: the version is not an integer of at least -1.
        """
        return cls(StreamName(stream_name), (), _version(version))


def _tagged(message: Message, tags: tuple[str, ...]) -> Message:
    return message.with_tags(*tags) if tags else message


def _entry_of(message: Message, serialize: Callable[[Any], str]) -> _Entry:
    name = "data"
    try:
        data = _text_of(message.data, serialize)
        name = "metadata"
        metadata = _text_of(message.metadata, serialize)
    except Exception as error:
        # A serializer may raise any error.
        raise InvalidMessage(message, f"the {name} must be JSON: {error}") from error
    check_length(message, data, metadata)
    return message, data, metadata


def _origin_of(
    entries: Sequence[_Entry], serialize: Callable[[Any], str], names: frozenset[str] | None
) -> Origin | None:
    if names is None:
        return None
    from opentelemetry.context import get_current

    return Origin(get_current(), [_properties_of(entry, names, serialize) for entry in entries])


def _properties_of(
    entry: _Entry, names: frozenset[str], serialize: Callable[[Any], str]
) -> str | None:
    message, _, text = entry
    properties = own_properties(message.metadata or {}, names)
    if properties is None or not (text or "{").lstrip().startswith("{"):
        # The application's serializer may make something else of a mapping.
        return None
    return serialize(properties) if properties else "{}"


def _text_of(value: Any, serialize: Callable[[Any], str]) -> str | None:
    if value is None:
        return None
    return "null" if value is JSON.NULL else serialize(value)


def _checked(message: object, among: object, types: MessageTypes | None) -> Message:
    if isinstance(message, Message):
        return message
    if types is not None:
        return types.message(message)
    # Name the container: it may be a single wrong value that is iterable.
    where = "" if among is message else f", in a {name_of(type(among))}"
    raise InvalidArgument(
        f"message must be an instance of {name_of(Message)}, got {described(message)}{where}"
    )


def _version(version: object) -> int:
    if (
        not isinstance(version, int)
        or isinstance(version, bool)
        or not NO_STREAM <= version < 2**63
    ):
        raise InvalidArgument(
            f"expected_version must be an integer of at least {NO_STREAM} (NO_STREAM), or None, "
            f"got {described(version)}"
        )
    return int(version)
