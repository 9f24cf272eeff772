from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from mdb_sqla.errors import DecodingFailed, InvalidArgument, InvalidMessage, UnknownMessageType
from mdb_sqla.message_types.codecs import codec_of
from mdb_sqla.words.argument_checks import described, instance, name_of, text
from mdb_sqla.words.message import Message, Metadata, StoredMessage
from mdb_sqla.words.tags import checked_tags, with_tags

__all__ = ["MessageTypes"]

Upcaster = Callable[[Any], Any]
"""Converts the JSON of one version of a type into that of the next version."""

_VERSION = "schemaVersion"


class MessageTypes:
    """The message types of an application, as classes.

    Dataclasses, attrs classes, msgspec structs, typed dictionaries and pydantic models can be
    message types. The classes stay as they are; nothing is registered globally.

        types = MessageTypes(Placed, Paid, {"Ordered": Placed})

        unit = UnitOfWork(factory, types=types)
        unit.write("order-1", Placed(total=120))

    Args:
        types: classes, which are stored under their own name; and mappings of names to classes, for
            other names, such as the former name of a class. A class is written under its own name,
            or, if it is only in a mapping, under its first name there.
        upcasters: for each class whose schema has changed incompatibly, the functions that convert
            the data of version 1 into version 2, of version 2 into version 3, and so on. The number
            of functions plus 1 is the current version, which is written to the metadata as
            `schemaVersion`. Data without it is version 1.

    Raises:
        InvalidArgument: a class can't be converted, a name stands for two classes, or upcasters are
            given for a class that is not a message type.
    """

    def __init__(
        self,
        *types: type | Mapping[str, type],
        upcasters: Mapping[type, Sequence[Upcaster]] | None = None,
    ) -> None:
        self._classes: dict[str, type] = {}
        self._names: dict[type, str] = {}
        for given in types:
            if isinstance(given, Mapping):
                for name, class_ in given.items():
                    self._add(text("message type", name), class_)
            else:
                self._add(getattr(given, "__name__", ""), given)
        for given in types:
            # Its own name wins over a former one that comes before it.
            if not isinstance(given, Mapping):
                self._names[given] = given.__name__
        self._codecs = {class_: codec_of(class_) for class_ in self._names}
        self._upcasters = {
            class_: self._checked(class_, functions)
            for class_, functions in (upcasters or {}).items()
        }

    def _add(self, name: str, class_: object) -> None:
        if not isinstance(class_, type):
            raise InvalidArgument(f"A message type must be a class, got {described(class_)}")
        if issubclass(class_, tuple):
            raise InvalidArgument(
                f"{name_of(class_)} can't be a message type: it is stored as an array, to which no "
                "field can be added; use a dataclass"
            )
        known = self._classes.setdefault(name, class_)
        if known is not class_:
            raise InvalidArgument(
                f"Message type {name!r} can't stand for both {name_of(known)} and {name_of(class_)}"
            )
        self._names.setdefault(class_, name)

    def _checked(self, class_: type, functions: object) -> tuple[Upcaster, ...]:
        if class_ not in self._names:
            raise InvalidArgument(
                f"Upcasters are given for {described(class_)}, which is not a message type"
            )
        if not isinstance(functions, Sequence) or not all(map(callable, functions)):
            raise InvalidArgument(
                f"The upcasters of {name_of(class_)} must be a list of functions, got "
                f"{described(functions)}"
            )
        return tuple(functions)

    def __contains__(self, class_: object) -> bool:
        """Whether a class is a message type."""
        return class_ in self._names

    def names(self, class_: type) -> list[str]:
        """Return the names of a class: the one under which it is written, and former ones.

        Raises:
            InvalidArgument: the class is not a message type.
        """
        name = self._name(class_)
        others = (each for each, known in self._classes.items() if known is class_ and each != name)
        return [name, *others]

    @property
    def classes(self) -> Mapping[str, type]:
        """The class for each name."""
        return dict(self._classes)

    def version(self, class_: type) -> int:
        """Return the current version of the schema of a class.

        Raises:
            InvalidArgument: the class is not a message type.
        """
        self._name(class_)
        return len(self._upcasters.get(class_, ())) + 1

    def message(
        self,
        value: Any,
        type: type | None = None,  # noqa: A002
        *,
        metadata: Metadata | Mapping[str, Any] | None = None,
        id: UUID | None = None,  # noqa: A002
        tags: Iterable[str] = (),
    ) -> Message:
        """Return an object as a message to write.

        Args:
            value: the object.
            type: its class; for a typed dictionary, whose instances do not know it.
            metadata: the metadata of the message.
            id: the id of the message; a new one by default.
            tags: the tags of the message, in addition to those in the metadata.

        Raises:
            InvalidArgument: the class of the object is not a message type, or a tag is not a
                non-empty string.
            InvalidMessage: the object is not a valid instance of its class.
        """
        class_ = value.__class__ if type is None else type
        name = self._name(class_)
        options = {} if id is None else {"id": id}
        version = self.version(class_)
        if version > 1:
            metadata = {**(metadata or {}), _VERSION: str(version)}
        if names := checked_tags(tags):
            metadata = with_tags(metadata, names)
        try:
            data = self._codecs[class_].encode(value)
        except Exception as error:
            # The libraries' errors have no common class.
            invalid = Message(name, None, metadata, **options)
            raise InvalidMessage(invalid, f"{name_of(class_)}: {error}") from error
        return Message(name, data, metadata, **options)

    def decode(self, message: StoredMessage) -> Any:
        """Return the object of a stored message.

        Fields that the class doesn't have are ignored, unless the class forbids them.

        Raises:
            UnknownMessageType: no class has the name of the message's type.
            DecodingFailed: the data is not valid, an upcaster failed, or the message was written by
                a later version of the application.
        """
        instance("message", message, StoredMessage)
        class_ = self._classes.get(message.type)
        if class_ is None:
            raise UnknownMessageType(message, sorted(self._classes))
        data: Any = message.data
        # Other clients may write any JSON as metadata.
        metadata: Any = message.metadata
        try:
            # Most types have only one version, which their messages don't mention.
            if class_ in self._upcasters or not isinstance(metadata, dict) or _VERSION in metadata:
                data = self._upcast(class_, message)
            return self._codecs[class_].decode(data)
        except Exception as error:
            # Upcasters may raise any error, and those of the libraries have no common class.
            raise DecodingFailed(message, class_, error) from error

    def _upcast(self, class_: type, message: StoredMessage) -> Any:
        functions = self._upcasters.get(class_, ())
        version, current = _version_of(message), len(functions) + 1
        if not 1 <= version <= current:
            raise ValueError(f"its {_VERSION} is {version}, but the current version is {current}")
        data = message.data
        for function in functions[version - 1 :]:
            data = function(data)
        return data

    def _text_decoders(self) -> dict[str, tuple[type, int, Callable[[str], Any]]]:
        """Return each type by name: its class, current version, and decoder of JSON text."""
        return {
            name: (class_, self.version(class_), self._codecs[class_].decode_text)
            for name, class_ in self._classes.items()
        }

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of each type by name, with its version."""
        return {
            name: {"version": self.version(class_), "schema": self._codecs[class_].schema()}
            for name, class_ in sorted(self._classes.items())
        }

    def _name(self, class_: type) -> str:
        try:
            return self._names[class_]
        except (KeyError, TypeError):
            known = ", ".join(sorted(name_of(each) for each in self._names))
            raise InvalidArgument(
                f"{described(class_)} is not a message type; the message types are {known}"
            ) from None


def _version_of(message: StoredMessage) -> int:
    # Other clients may write any JSON as metadata.
    metadata: Any = message.metadata if isinstance(message.metadata, dict) else {}
    return int(metadata.get(_VERSION) or 1)
