"""Messages as lines of JSON: what is printed for programs, exported, imported and written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, NoReturn
from uuid import UUID

from sqlalchemy import JSON

from mdb_sqla.arguments import is_storable
from mdb_sqla.errors import InvalidLine
from mdb_sqla.message import Message

__all__ = ["KEYS", "OPTIONAL_KEYS", "Line", "RawMessage", "messages_in", "parse"]


KEYS = frozenset({"id", "stream_name", "type", "position", "global_position", "time"})
"""What every line of a stored message has."""

OPTIONAL_KEYS = frozenset({"data", "metadata"})
"""What it has unless it is NULL."""

_NEEDED = frozenset({"stream_name", "type"})
_WELCOME = frozenset({"data", "metadata", "id"})


class RawMessage(NamedTuple):
    """A message with its data and metadata as the JSON text that is stored; None for NULL.

    A time that Python does not have is text, as PostgreSQL writes it in JSON: `infinity`,
    `20000-01-01T00:00:00` or `0044-03-15T00:00:00 BC`.

    Not parsed, a number keeps all its digits, and NULL is told from a JSON null.
    """

    id: UUID
    stream_name: str
    type: str
    position: int
    global_position: int
    data: str | None
    metadata: str | None
    time: datetime | str

    @property
    def shown_time(self) -> str:
        """The time with its zone, as PostgreSQL reads it."""
        if isinstance(self.time, datetime):
            return f"{self.time.isoformat()}Z"
        return self.time if "infinity" in self.time else _ODD_ZONE.sub("Z", self.time, count=1)

    @property
    def line(self) -> str:
        """The message as one line, which ends in a newline; a key that is left out is NULL."""
        data = "" if self.data is None else f', "data": {self.data}'
        metadata = "" if self.metadata is None else f', "metadata": {self.metadata}'
        return (
            f'{{"id": "{self.id}", "stream_name": {_quoted(self.stream_name)}, '
            f'"type": {_quoted(self.type)}, "position": {self.position}, '
            f'"global_position": {self.global_position}, "time": "{self.shown_time}"'
            f"{data}{metadata}}}\n"
        )


class Line(NamedTuple):
    """A line that was read.

    Attributes:
        number: its number in the file, from 1.
        text: as it stands there.
        values: its keys and values, as JSON has them.
    """

    number: int
    text: str
    values: dict[str, Any]


def messages_in(lines: Iterable[bytes]) -> Iterator[tuple[str, Message]]:
    """Iterate over the messages to be written that a file has, with their streams.

    A line has a `stream_name` and a `type`, and `data`, `metadata` and `id` if it likes.

    Raises:
        InvalidLine: a line is no such message.
    """
    for line in parse(lines, _NEEDED, _WELCOME):
        values = line.values
        stream_name = values.pop("stream_name")
        if "id" in values:
            values["id"] = UUID(values["id"])
        if "data" in values and values["data"] is None:
            values["data"] = JSON.NULL
        yield stream_name, Message(**values)


def parse(
    lines: Iterable[bytes], required: frozenset[str], optional: frozenset[str]
) -> Iterator[Line]:
    """Iterate over the lines of a file, each checked; those that are blank are left out.

    Args:
        lines: in UTF-8.
        required: which keys must be there.
        optional: which others may be there.

    Raises:
        InvalidLine: a line is no JSON object, a key is missing or unknown, or a value breaks its
            rule.
    """
    for number, line in enumerate(lines, 1):
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise InvalidLine(number, f"it must be UTF-8: {error}") from error
        if not text.isspace():
            yield Line(number, text, _values(text, number, required, optional))


def _values(
    text: str, number: int, required: frozenset[str], optional: frozenset[str]
) -> dict[str, Any]:
    try:
        line = _decoded(text)
    except (ValueError, RecursionError) as error:
        raise InvalidLine(number, f"it must be JSON: {error}") from error
    if not isinstance(line, dict):
        raise InvalidLine(number, f"it must be a JSON object: {_shown(line)}")
    if not required <= line.keys():
        missing = min(required - line.keys())
        raise InvalidLine(number, f"the key {missing!r} is missing")
    for key, value in line.items():
        if key not in required and key not in optional:
            known = ", ".join(sorted(required | optional))
            raise InvalidLine(number, f"the key {key!r} must be one of {known}")
        if not _CHECKS[key](value):
            raise InvalidLine(number, f"the {key} must be {_RULES[key]}: {_shown(value)}")
    # Only what is escaped in JSON can't be stored; the line itself was read as UTF-8.
    if "\\u" in text and not _is_storable(line):
        raise InvalidLine(number, "PostgreSQL stores no NUL and no surrogates")
    return line


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
_ODD_ZONE = re.compile("(?= BC$)|$")
_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "id": _is_id,
    "stream_name": _is_name,
    "type": lambda value: isinstance(value, str) and value != "",
    "position": _is_position,
    "global_position": _is_global_position,
    "time": _is_time,
    "data": lambda _: True,
    "metadata": lambda value: value is None or isinstance(value, dict),
}

_RULES = {
    "id": "a UUID in lower case with dashes",
    "stream_name": "the name of a stream, and its category not empty",
    "type": "a string that is not empty",
    "position": "an integer from 0 to 2^63 - 1",
    "global_position": "an integer from 1 to 2^63 - 1",
    "time": "a time with a zone, as in 2013-01-01T12:00:00Z",
    "metadata": "a JSON object",
}


def _is_storable(value: Any) -> bool:
    if isinstance(value, str):
        return is_storable(value)
    if isinstance(value, dict):
        return all(_is_storable(key) and _is_storable(item) for key, item in value.items())
    return not isinstance(value, list) or all(map(_is_storable, value))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 100 else f"{text[:100]}…"
