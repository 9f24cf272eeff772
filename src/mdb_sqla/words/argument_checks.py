"""Validation of arguments; each error shows the value and its type."""

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
    """Return the characters of a string, which may be of a subclass, as a plain `str`.

    `str()` and f-strings may return something else, such as the name of a member of
    `class Color(str, Enum)`; drivers and `json` use the characters.
    """
    return str.__str__(text)


def is_storable(text: str) -> bool:
    """Whether PostgreSQL can store this text: it has no NUL, and can be encoded as UTF-8."""
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
    """Return the value if it is an instance of a class.

    Raises:
        InvalidArgument: it is not.
    """
    if not isinstance(value, kind):
        raise InvalidArgument(f"{what} must be a {name_of(kind)}, got {described(value)}")
    return value


def text(what: str, value: object) -> str:
    """Return a text as a plain string.

    Raises:
        InvalidArgument: it is not a string, is empty, or can't be stored.
    """
    if not isinstance(value, str) or not value or not is_storable(value):
        raise InvalidArgument(
            f"{what} must be a non-empty string without NUL or surrogates, got {described(value)}"
        )
    return plain(value)


def key(what: str, value: object) -> str:
    """Return a text that can be part of a primary key, as a plain string.

    Raises:
        InvalidArgument: see `text`, or it is too long.
    """
    checked = text(what, value)
    length = len(checked.encode())
    if length > _MAX_KEY_LENGTH:
        raise InvalidArgument(
            f"{what} must have at most {_MAX_KEY_LENGTH:,} bytes, got {length:,}: "
            f"{described(checked)}"
        )
    return checked


def integer(what: str, value: object, least: int) -> int:
    """Return an integer.

    Raises:
        InvalidArgument: it is not an integer, less than `least`, or has more than 64 bits.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= _MAX_INTEGER:
        raise InvalidArgument(
            f"{what} must be an integer of at least {least}, got {described(value)}"
        )
    return int(value)


def flag(what: str, value: object) -> bool:
    """Return a boolean.

    Raises:
        InvalidArgument: it is not a boolean.
    """
    if not isinstance(value, bool):
        raise InvalidArgument(f"{what} must be True or False, got {described(value)}")
    return value


def seconds(what: str, value: object) -> float:
    """Return a number of seconds.

    Raises:
        InvalidArgument: it is not a number greater than 0.
    """
    if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
        raise InvalidArgument(f"{what} must be more than 0 seconds, got {described(value)}")
    return value


def strings_in(value: object) -> Iterator[str]:
    """Iterate over the strings and keys in a JSON value, at any depth."""
    values: list[object] = [value]
    for each in values:
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict):
            values += each
            values += each.values()
        elif isinstance(each, list):
            values += each
