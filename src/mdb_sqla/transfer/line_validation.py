"""Validation of JSON Lines, for writing and for importing messages."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, NoReturn

from mdb_sqla.errors import InvalidLine
from mdb_sqla.words.argument_checks import described, is_storable, strings_in

__all__ = ["EXPORTED", "WRITTEN", "Format", "Rule"]


class Rule(NamedTuple):
    """A rule for a value."""

    accepts: Callable[[Any], bool]
    text: str
    is_required: bool = True


class Format(NamedTuple):
    """The format of a line.

    Attributes:
        rules: the rules by key; other keys are rejected.
        allows_any_depth: whether to accept JSON that is nested deeper than Python can decode. The
            nested values of such a line are validated but not returned.
    """

    rules: Mapping[str, Rule]
    allows_any_depth: bool = False

    def values(self, text: str, number: int) -> dict[str, Any]:
        """Return the values of a line.

        Raises:
            InvalidLine: not a JSON object, a missing or unknown key, or a value that violates its
                rule.
        """
        try:
            line, *nested = self._decoded(text)
        except (ValueError, RecursionError) as error:
            raise InvalidLine(number, f"invalid JSON: {error}") from error
        if not isinstance(line, dict):
            raise InvalidLine(number, f"it must be a JSON object, got {_shown(line)}")
        missing = min(
            (key for key, rule in self.rules.items() if rule.is_required and key not in line),
            default=None,
        )
        if missing is not None:
            raise InvalidLine(number, f"missing key {missing!r}")
        for key, value in line.items():
            rule = self.rules.get(key)
            if rule is None:
                known = ", ".join(sorted(self.rules))
                raise InvalidLine(number, f"unknown key {key!r}: must be one of {known}")
            if not rule.accepts(value):
                raise InvalidLine(number, f"{key} must be {rule.text}, got {_shown(value)}")
        # The line is valid UTF-8, so only escapes can produce characters that can't be stored.
        if "\\u" in text and not all(map(is_storable, strings_in([line, *nested]))):
            raise InvalidLine(number, "PostgreSQL can't store NUL or surrogate characters")
        return line

    def _decoded(self, text: str) -> list[Any]:
        """Return the value, followed by the nested values that were decoded separately."""
        try:
            return [_decoded(text)]
        except RecursionError:
            if not self.allows_any_depth:
                raise
            return _inside_out(text)


def _reject(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON value")


def _decoded(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        # An integer exceeds Python's limit of digits; PostgreSQL stores up to 131,072 digits.
        return _LONG_INTEGER_DECODER.decode(text)


# json.loads() would create a decoder for each call with an option.
_DECODER = json.JSONDecoder(parse_constant=_reject)
_LONG_INTEGER_DECODER = json.JSONDecoder(
    parse_constant=_reject, parse_int=lambda digits: (int if len(digits) < 20 else float)(digits)
)


def _inside_out(text: str) -> list[Any]:
    """Decode each array and object separately, with nested ones as null; the outermost comes first.

    Handles any depth, in linear time.
    """
    decoded: list[Any] = []
    unclosed: list[list[str]] = [[]]
    for piece in _PIECES.findall(text):
        if piece in "[{":
            unclosed.append([piece])
        elif piece not in "]}":
            unclosed[-1].append(piece)
        elif len(unclosed) == 1:
            raise ValueError(f"unmatched {piece}")
        else:
            decoded.append(_decoded("".join([*unclosed.pop(), piece])))
            unclosed[-1].append("null")
    if len(unclosed) > 1:
        raise ValueError(f"{unclosed[-1][0]} is not closed")
    # Checks that there is exactly one value.
    _decoded("".join(unclosed[0]))
    return decoded[::-1]


# A string, a bracket, or text between them.
_PIECES = re.compile(r'"(?:[^"\\]+|\\.)*"?|[][{}]|[^][{}"]+', re.DOTALL)


def _is_position(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_global_position(value: object) -> bool:
    return _is_position(value) and value != 0


def _is_name(value: object) -> bool:
    # Characters that can't be stored are checked later.
    return isinstance(value, str) and value != "" and value[0] != "-"


def _is_id(value: object) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _is_time(value: object) -> bool:
    return isinstance(value, str) and (_is_python_time(value) or _is_postgres_time(value))


def _is_python_time(value: str) -> bool:
    try:
        return (
            _TIME.fullmatch(value) is not None
            and datetime.fromisoformat(value).astimezone(UTC) is not None
        )
    except (ValueError, OverflowError):
        return False


def _is_postgres_time(value: str) -> bool:
    """Return whether a value is a time that PostgreSQL can represent but Python can't."""
    match = _POSTGRES_TIME.fullmatch(value)
    if match is None or match["year"] is None:
        return match is not None
    year = 1 - int(match["year"]) if match["era"] else int(match["year"])
    try:
        # The calendar repeats every 400 years.
        datetime.fromisoformat(f"{2000 + year % 400}{match['rest']}")
    except ValueError:
        return False
    # PostgreSQL's first day is in November 4714 BC.
    return -4712 < year < 1 or 10_000 <= year < 294_276


# Times that both Python and PostgreSQL can read.
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-](0\d|1[0-5])(:[0-5]\d)?)", re.ASCII
)
# Times that only PostgreSQL can read.
_POSTGRES_TIME = re.compile(
    r"-?infinity"
    r"|(?P<year>\d{4,6})(?P<rest>-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?)Z(?P<era> BC)?",
    re.ASCII,
)
_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_NAME = Rule(_is_name, "a stream name with a category")
_TYPE = Rule(lambda value: isinstance(value, str) and value != "", "a non-empty string")
_STRING = Rule(lambda value: isinstance(value, str), "a string")
_UUID = Rule(_is_id, "a lower-case UUID with dashes")
_JSON = Rule(lambda _: True, "JSON", is_required=False)

WRITTEN = Format(
    {
        "stream_name": _NAME,
        "type": _TYPE,
        "data": _JSON,
        "metadata": Rule(
            lambda value: value is None or isinstance(value, dict),
            "a JSON object",
            is_required=False,
        ),
        "id": _UUID._replace(is_required=False),
    }
)
"""A message to write."""

# Other clients can write messages that this package rejects, such as to a stream without a
# category; an export may contain them.
EXPORTED = Format(
    {
        "id": _UUID,
        "stream_name": _STRING,
        "type": _STRING,
        "position": Rule(_is_position, "an integer from 0 to 2^63 - 1"),
        "global_position": Rule(_is_global_position, "an integer from 1 to 2^63 - 1"),
        "time": Rule(_is_time, "a time with a zone, such as 2013-01-01T12:00:00Z"),
        "data": _JSON,
        "metadata": _JSON,
    },
    allows_any_depth=True,
)
"""An exported message; missing data or metadata are NULL."""


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value)
    except RecursionError:
        return described(value)
    return text if len(text) <= 100 else f"{text[:100]}…"
