"""Argument validation.

All errors have the form `<name> must be <rule>, got <value> (<type>)`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from mdb_sqla.errors import InvalidArgument
from mdb_sqla.errors.display import described, name_of

__all__ = [
    "described",
    "flag",
    "instance",
    "integer",
    "is_storable",
    "key",
    "name_of",
    "plain",
    "seconds",
    "strings_in",
    "text",
]

_T = TypeVar("_T")

_MAX_INTEGER = 2**63 - 1
_MAX_KEY_LENGTH = 1_000  # bytes; two fit into a primary key, such as consumer and member


def plain(text: str) -> str:
    """Convert an instance of a `str` subclass to a plain `str` with the same characters.

    `str()` and f-strings can return other text, such as the member's name for
    `class Color(str, Enum)`, whereas drivers and `json` use the characters.
    """
    return str.__str__(text)


def is_storable(text: str) -> bool:
    """Return whether PostgreSQL can store a text: it has no NUL and can be encoded as UTF-8."""
    if "\0" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def instance(what: str, value: object, kind: type[_T]) -> _T:
    """Return a value after checking that it is an instance of a class.

    Raises:
        InvalidArgument: it is not an instance of the class.
    """
    if not isinstance(value, kind):
        raise InvalidArgument(
            f"{what} must be an instance of {name_of(kind)}, got {described(value)}"
        )
    return value


def text(what: str, value: object) -> str:
    """Return a text as a plain string.

    Raises:
        InvalidArgument: the value is not a string, is empty, or can't be stored.
    """
    if not isinstance(value, str) or not value or not is_storable(value):
        raise InvalidArgument(
            f"{what} must be a non-empty string without NUL or surrogates, got {described(value)}"
        )
    return plain(value)


def key(what: str, value: object) -> str:
    """Return a text that fits into a primary key, as a plain string.

    Raises:
        InvalidArgument: the value is not a valid `text`, or is too long.
    """
    checked = text(what, value)
    length = len(checked.encode())
    if length > _MAX_KEY_LENGTH:
        raise InvalidArgument(
            f"{what} must be at most {_MAX_KEY_LENGTH:,} bytes, got {length:,}: "
            f"{described(checked)}"
        )
    return checked


def integer(what: str, value: object, least: int) -> int:
    """Return an integer.

    Raises:
        InvalidArgument: the value is not an integer, is less than `least`, or exceeds 64 bits.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= _MAX_INTEGER:
        raise InvalidArgument(
            f"{what} must be an integer of at least {least}, got {described(value)}"
        )
    return int(value)


def flag(what: str, value: object) -> bool:
    """Return a boolean.

    Raises:
        InvalidArgument: the value is not a boolean.
    """
    if not isinstance(value, bool):
        raise InvalidArgument(f"{what} must be True or False, got {described(value)}")
    return value


def seconds(what: str, value: object) -> float:
    """Return a number of seconds.

    Raises:
        InvalidArgument: the value is not a number greater than 0.
    """
    if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
        raise InvalidArgument(
            f"{what} must be a positive number of seconds, got {described(value)}"
        )
    return value


def strings_in(value: object) -> Iterator[str]:
    """Yield the strings and object keys in a JSON value, at any depth."""
    values: list[object] = [value]
    for each in values:
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict):
            values += each
            values += each.values()
        elif isinstance(each, list):
            values += each
