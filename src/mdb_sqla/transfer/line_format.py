"""What the values of a line must be: where it is written anew, and where it is imported."""

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
    """What a value must be."""

    is_kept_by: Callable[[Any], bool]
    text: str
    is_required: bool = True


class Format(NamedTuple):
    """What a line may have.

    Attributes:
        rules: by key; there are no others.
        is_nested_at_will: whether JSON that is nested deeper than Python reads it is taken too;
            what is nested in such a line is checked, and left out of its values.
    """

    rules: Mapping[str, Rule]
    is_nested_at_will: bool = False

    def values(self, text: str, number: int) -> dict[str, Any]:
        """Return the values of a line.

        Raises:
            InvalidLine: it is no JSON object, a key is missing or unknown, or a value breaks its
                rule.
        """
        try:
            line, *nested = self._decoded(text)
        except (ValueError, RecursionError) as error:
            raise InvalidLine(number, f"it must be JSON: {error}") from error
        if not isinstance(line, dict):
            raise InvalidLine(number, f"it must be a JSON object: {_shown(line)}")
        missing = min(
            (key for key, rule in self.rules.items() if rule.is_required and key not in line),
            default=None,
        )
        if missing is not None:
            raise InvalidLine(number, f"the key {missing!r} is missing")
        for key, value in line.items():
            rule = self.rules.get(key)
            if rule is None:
                known = ", ".join(sorted(self.rules))
                raise InvalidLine(number, f"the key {key!r} must be one of {known}")
            if not rule.is_kept_by(value):
                raise InvalidLine(number, f"the {key} must be {rule.text}: {_shown(value)}")
        # Only what is escaped in JSON can't be stored; the line itself was read as UTF-8.
        if "\\u" in text and not all(map(is_storable, strings_in([line, *nested]))):
            raise InvalidLine(number, "PostgreSQL stores no NUL and no surrogates")
        return line

    def _decoded(self, text: str) -> list[Any]:
        """Return the value, and what is nested in it where that is decoded by itself."""
        try:
            return [_decoded(text)]
        except RecursionError:
            if not self.is_nested_at_will:
                raise
            return _inside_out(text)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON value")


def _decoded(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        # An integer has more digits than Python reads, but PostgreSQL stores up to 131,072.
        return _DECODER_OF_LONG.decode(text)


# Made once: json.loads() makes one for each call that has an option.
_DECODER = json.JSONDecoder(parse_constant=_refuse)
_DECODER_OF_LONG = json.JSONDecoder(
    parse_constant=_refuse, parse_int=lambda digits: (int if len(digits) < 20 else float)(digits)
)


def _inside_out(text: str) -> list[Any]:
    """Decode each array and object by itself, with null for what is nested in it; the whole first.

    So every depth is read, by the same decoder, in a time that is proportional to the length.
    """
    decoded: list[Any] = []
    unclosed: list[list[str]] = [[]]
    for piece in _PIECES.findall(text):
        if piece in "[{":
            unclosed.append([piece])
        elif piece not in "]}":
            unclosed[-1].append(piece)
        elif len(unclosed) == 1:
            raise ValueError(f"nothing is open that {piece} closes")
        else:
            decoded.append(_decoded("".join([*unclosed.pop(), piece])))
            unclosed[-1].append("null")
    if len(unclosed) > 1:
        raise ValueError(f"{unclosed[-1][0]} is not closed")
    # There is one value, and nothing behind it.
    _decoded("".join(unclosed[0]))
    return decoded[::-1]


# A string, a bracket, or what is between them.
_PIECES = re.compile(r'"(?:[^"\\]+|\\.)*"?|[][{}]|[^][{}"]+', re.DOTALL)


def _is_position(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_global_position(value: object) -> bool:
    return _is_position(value) and value != 0


def _is_name(value: object) -> bool:
    # What can't be stored is found later.
    return isinstance(value, str) and value != "" and value[0] != "-"


def _is_id(value: object) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _is_time(value: object) -> bool:
    return isinstance(value, str) and (_is_usual_time(value) or _is_odd_time(value))


def _is_usual_time(value: str) -> bool:
    try:
        return (
            _TIME.fullmatch(value) is not None
            and datetime.fromisoformat(value).astimezone(UTC) is not None
        )
    except (ValueError, OverflowError):
        return False


def _is_odd_time(value: str) -> bool:
    """Whether PostgreSQL has such a time, and Python has not."""
    odd = _ODD_TIME.fullmatch(value)
    if odd is None or odd["year"] is None:
        return odd is not None
    year = 1 - int(odd["year"]) if odd["era"] else int(odd["year"])
    try:
        # The calendar is that of the same year within four centuries.
        datetime.fromisoformat(f"{2000 + year % 400}{odd['rest']}")
    except ValueError:
        return False
    # PostgreSQL's first day is in November.
    return -4712 < year < 1 or 10_000 <= year < 294_276


# What both Python and PostgreSQL read, and take for the same.
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-](0\d|1[0-5])(:[0-5]\d)?)", re.ASCII
)
# What only PostgreSQL reads, as it is exported.
_ODD_TIME = re.compile(
    r"-?infinity"
    r"|(?P<year>\d{4,6})(?P<rest>-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?)Z(?P<era> BC)?",
    re.ASCII,
)
_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_NAME = Rule(_is_name, "the name of a stream, and its category not empty")
_TYPE = Rule(lambda value: isinstance(value, str) and value != "", "a string that is not empty")
_STRING = Rule(lambda value: isinstance(value, str), "a string")
_UUID = Rule(_is_id, "a UUID in lower case with dashes")
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
"""A message that is written anew."""

# Other clients write what this package does not, such as a stream without a category. The server
# stores it, so that an export may have it.
EXPORTED = Format(
    {
        "id": _UUID,
        "stream_name": _STRING,
        "type": _STRING,
        "position": Rule(_is_position, "an integer from 0 to 2^63 - 1"),
        "global_position": Rule(_is_global_position, "an integer from 1 to 2^63 - 1"),
        "time": Rule(_is_time, "a time with a zone, as in 2013-01-01T12:00:00Z"),
        "data": _JSON,
        "metadata": _JSON,
    },
    is_nested_at_will=True,
)
"""A message that is stored; without data or metadata, these are NULL."""


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value)
    except RecursionError:
        return described(value)
    return text if len(text) <= 100 else f"{text[:100]}…"
