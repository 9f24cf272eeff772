from __future__ import annotations

from enum import Enum

from mdb_sqla.errors import InvalidStreamName
from mdb_sqla.words.argument_checks import is_storable, name_of, plain

__all__ = ["NO_STREAM", "StreamName", "category_name", "ordering_key"]

NO_STREAM = -1
"""The version of a stream without messages. As an expected version: the stream must not exist."""


class StreamName(str):
    """The name of a stream or category: `category[:type[+type…]][-id[+id…]]`.

    It is a `str`. The first `-` separates the category from the id; later dashes are part of the
    id. A name without a `-` is a category.

    Raises:
        InvalidStreamName: the category is empty, or the name contains NUL or surrogates.
    """

    __slots__ = ()

    def __new__(cls, name: str) -> StreamName:
        """Validate the name; a `StreamName` is returned unchanged."""
        if type(name) is cls:
            return name
        if not isinstance(name, str):
            raise InvalidStreamName(name, f"it must be a string, got {name_of(type(name))}")
        if not name or name[0] == "-":
            raise InvalidStreamName(name, "the category must not be empty")
        if not is_storable(name):
            raise InvalidStreamName(name, "it must not contain NUL or surrogates")
        return super().__new__(cls, plain(name))

    @classmethod
    def build(cls, category: str, *ids: object, types: tuple[str, ...] | str = ()) -> StreamName:
        """Build a name from its parts.

        `build("account", 1, 2, types="command")` returns `account:command-1+2`. Without ids, the
        result is a category. A part must not contain the separators next to it.

        Args:
            category: the category, without types.
            ids: strings, integers, UUIDs, or other objects that define `__str__`. An Enum member
                stands for its value.
            types: one or more types.

        Raises:
            InvalidStreamName: a part is empty, contains a separator, or does not define `__str__`.
        """
        types = (types,) if isinstance(types, str) else types
        parts = [_id_of(part) for part in ids]
        _check(category, "category", "-:")
        for part in types:
            _check(part, "type", "-+")
        for part in parts:
            _check(part, "id", "+")
        name = category
        if types:
            name += ":" + "+".join(types)
        if parts:
            name += "-" + "+".join(parts)
        return cls(name)

    @property
    def category(self) -> StreamName:
        """The part before the first `-`, including types."""
        # A part of a valid name needs no checks.
        return str.__new__(StreamName, self.partition("-")[0])

    @property
    def entity(self) -> str:
        """The category without its types."""
        return self.category.partition(":")[0]

    @property
    def types(self) -> tuple[str, ...]:
        """The types of the category, such as `command`; empty if it has none."""
        types = self.category.partition(":")[2]
        return tuple(types.split("+")) if types else ()

    @property
    def id(self) -> str | None:
        """The part after the first `-`; None for a category."""
        _, separator, id_ = self.partition("-")
        return id_ if separator else None

    @property
    def ids(self) -> tuple[str, ...]:
        """The parts of a compound id; empty for a category."""
        return () if self.id is None else tuple(self.id.split("+"))

    @property
    def cardinal_id(self) -> str | None:
        """The first part of the id, the partition key of consumer groups; None for a category."""
        return None if self.id is None else self.ids[0]

    @property
    def is_category(self) -> bool:
        """Whether the name has no id."""
        return "-" not in self


def category_name(name: str) -> StreamName:
    """Return a validated category name.

    Raises:
        InvalidStreamName: the name is invalid, or is that of a stream.
    """
    checked = StreamName(name)
    if not checked.is_category:
        raise InvalidStreamName(
            checked, f"it must be a category, such as {checked.category!r}, not a stream"
        )
    return checked


def ordering_key(stream_name: str) -> str:
    """Return the ordering key of a stream: the cardinal id, or the whole name if there is none.

    Messages with the same key are handled in order. Accepts any stored name, including those that
    other clients write, such as `-7`.
    """
    _, separator, id_ = stream_name.partition("-")
    return id_.partition("+")[0] if separator else stream_name


def _id_of(part: object) -> str:
    value = part.value if isinstance(part, Enum) else part
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return int.__repr__(value)
        except ValueError as error:
            raise InvalidStreamName(part, f"the id is too long: {error}") from error
    # `object.__str__` returns a memory address or a `repr`.
    if type(value).__str__ is object.__str__ or isinstance(value, bytes | bytearray):
        raise InvalidStreamName(
            part, f"an id must be a string, an integer or a UUID, got {name_of(type(part))}"
        )
    return str(value)


def _check(part: str, what: str, separators: str) -> None:
    if not isinstance(part, str) or not part:
        raise InvalidStreamName(
            part, f"a {what} must be a non-empty string, got {name_of(type(part))}"
        )
    for separator in separators:
        if separator in part:
            raise InvalidStreamName(part, f"a {what} must not contain {separator!r}")
