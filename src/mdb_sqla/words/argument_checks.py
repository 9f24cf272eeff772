"""Checks of the values that an application passes; each error names the value and its type."""

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

_MOST = 2**63 - 1
_LONGEST_KEY = 1_000  # bytes; a primary key has room for two, such as consumer and member


def plain(text: str) -> str:
    """Return the characters of a string as a `str` itself.

    What `str()` and an f-string make of a subclass may be anything else: of a member of
    `class Color(str, Enum)` it is its name. Drivers and `json` take the characters.
    """
    return str.__str__(text)


def is_storable(text: str) -> bool:
    """Whether PostgreSQL stores this text: there is no NUL in it and it has a UTF-8 form."""
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
    """Return a value of a class.

    Raises:
        InvalidArgument: it is of another.
    """
    if not isinstance(value, kind):
        raise InvalidArgument(f"{what} must be a {name_of(kind)}: {described(value)}")
    return value


def text(what: str, value: object) -> str:
    """Return a text as a plain string.

    Raises:
        InvalidArgument: it is no string, is empty, or can't be stored.
    """
    if not isinstance(value, str) or not value or not is_storable(value):
        raise InvalidArgument(
            f"{what} must be a string that is not empty, without NUL and surrogates: "
            f"{described(value)}"
        )
    return plain(value)


def key(what: str, value: object) -> str:
    """Return a text that can be part of a primary key, as a plain string.

    Raises:
        InvalidArgument: see `text`, or it is too long.
    """
    checked = text(what, value)
    length = len(checked.encode())
    if length > _LONGEST_KEY:
        raise InvalidArgument(
            f"{what} must have at most {_LONGEST_KEY:,} bytes, and not {length:,}: "
            f"{described(checked)}"
        )
    return checked


def integer(what: str, value: object, least: int) -> int:
    """Return an integer.

    Raises:
        InvalidArgument: it is none, less than `least`, or has more than 64 bits.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= _MOST:
        raise InvalidArgument(f"{what} must be an integer of at least {least}: {described(value)}")
    return int(value)


def flag(what: str, value: object) -> bool:
    """Return a truth value.

    Raises:
        InvalidArgument: it is none.
    """
    if not isinstance(value, bool):
        raise InvalidArgument(f"{what} must be True or False: {described(value)}")
    return value


def seconds(what: str, value: object) -> float:
    """Return a number of seconds.

    Raises:
        InvalidArgument: it is no number, or not more than 0.
    """
    if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
        raise InvalidArgument(f"{what} must be more than 0 seconds: {described(value)}")
    return value


def strings_in(value: object) -> Iterator[str]:
    """Iterate over the strings in a value of JSON, and its keys, however deep they are nested."""
    values: list[object] = [value]
    for each in values:
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict):
            values += each
            values += each.values()
        elif isinstance(each, list):
            values += each
