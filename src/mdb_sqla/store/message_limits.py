"""PostgreSQL's limits for messages, and identification of the message that exceeds one."""

from __future__ import annotations

import codecs
import json
import re
import reprlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy.exc import DBAPIError

from mdb_sqla.database.error_fields import diagnostics_of, sqlstate_of
from mdb_sqla.errors import InvalidMessage
from mdb_sqla.words.argument_checks import is_storable, strings_in
from mdb_sqla.words.message import Message

__all__ = [
    "LENGTH_SQLSTATES",
    "MAX_CALL_LENGTH",
    "Row",
    "check_length",
    "identify_rejected_message",
    "length_of",
    "rejected_message",
]

Row = tuple[str, Message, str | None, str | None]
"""A stream name, a message for it, and the message's data and metadata as JSON text or None."""

MAX_CALL_LENGTH = 32 * 1024 * 1024
"""The maximum number of JSON characters per call.

PostgreSQL limits jsonb to 256 MiB, and two characters (`1,`) take at most twelve bytes.
"""

_MAX_MESSAGE_LENGTH = 1023 * 1024 * 1024
"""The maximum bytes of JSON per message: the server closes a connection that sends 1 GiB."""

_INTERNAL = "XX000"  # for example, an array with too many elements for the memory

LENGTH_SQLSTATES = ("54", _INTERNAL)
"""SQLSTATEs of a value that is too long: "program limit exceeded" and "internal error"."""

_KEYS = 100  # characters of a message's id and of all keys

_LONG_NAMES = 500
"""The compressed length in bytes from which names are considered too long for an index.

PostgreSQL compresses less than zlib; an index entry has room for 2,704 bytes.
"""


def check_length(message: Message, *texts: str | None) -> None:
    """Check the length of a message's JSON.

    Raises:
        InvalidMessage: the JSON is too long.
    """
    # Encode only long texts; a character takes at most four bytes.
    if sum(map(len, filter(None, texts))) > _MAX_MESSAGE_LENGTH // 4:
        length = sum(len(text.encode()) for text in texts if text)
        if length > _MAX_MESSAGE_LENGTH:
            raise InvalidMessage(
                message,
                f"its JSON has {length:,} bytes, more than PostgreSQL's maximum of "
                f"{_MAX_MESSAGE_LENGTH:,}",
            )


def length_of(rows: Iterable[Row]) -> int:
    """Return the number of JSON characters that the messages add to a call."""
    return sum(
        len(stream_name) + len(message.type) + len(data or "") + len(metadata or "") + _KEYS
        for stream_name, message, data, metadata in rows
    )


@contextmanager
def identify_rejected_message(rows: Sequence[Row]) -> Iterator[None]:
    """Raise `InvalidMessage` if the server or the driver rejects one of these messages."""
    try:
        yield
    except (DBAPIError, UnicodeEncodeError) as error:
        invalid = rejected_message(error, rows)
        if invalid is None:
            raise
        raise invalid from error


def rejected_message(error: BaseException, rows: Sequence[Row]) -> InvalidMessage | None:
    """Return the error for the message that PostgreSQL rejected; None if it can't be determined."""
    if isinstance(error, UnicodeEncodeError):
        character = error.object[error.start]
        return _unencodable(rows, lambda text: character in text, "connection's client_encoding")
    sqlstate = sqlstate_of(error) or ""
    if sqlstate.startswith("22"):
        return _invalid_json(rows) or _untranslatable(error, rows)
    if not sqlstate.startswith(LENGTH_SQLSTATES) or not rows:
        return None
    is_limit = not sqlstate.startswith(_INTERNAL)
    row = max(rows, key=_names_length)
    if is_limit and _names_length(row) > _LONG_NAMES:
        names = " and ".join(
            f"{reprlib.repr(name)}, {len(name.encode()):,} bytes" for name in _names(row)
        )
        return InvalidMessage(
            row[1],
            f"its stream name and correlation are too long for PostgreSQL's indexes: {names}; the "
            "maximum is 2,704 bytes after compression",
        )
    # Otherwise only a message longer than a call can be the cause.
    is_single = is_limit and len(rows) == 1
    long = [row for row in rows if is_single or length_of((row,)) > MAX_CALL_LENGTH]
    if len(long) == 1:
        fields = diagnostics_of(error)
        length = f"{length_of(long):,} characters"
        why = f"{fields.message}. {fields.detail}".rstrip()
        return InvalidMessage(long[0][1], f"PostgreSQL can't store its JSON of {length}: {why}")
    return _invalid_json(rows) if is_limit and not long else None


def _names(row: Row) -> list[str]:
    """Return the indexed names of a message: its stream name and correlation."""
    stream_name, _, _, metadata = row
    known = None
    if "correlationStreamName" in (metadata or ""):
        with suppress(RecursionError):
            known = json.loads(metadata or "")
    correlation = known.get("correlationStreamName") if isinstance(known, dict) else None
    return [stream_name, correlation] if isinstance(correlation, str) else [stream_name]


def _names_length(row: Row) -> int:
    return sum(len(zlib.compress(name.encode(), 1)) for name in _names(row))


def _invalid_json(rows: Iterable[Row]) -> InvalidMessage | None:
    for _, message, data, metadata in rows:
        for name, text in (("data", data), ("metadata", metadata)):
            try:
                value = _loaded(text, parse_constant=_reject_constant)
            except (ValueError, RecursionError) as error:
                return InvalidMessage(message, f"the {name} must be JSON: {error}")
            if not all(is_storable(string) for string in strings_in(value)):
                return InvalidMessage(
                    message, f"PostgreSQL can't store NUL or surrogate characters in its {name}"
                )
    return None


def _untranslatable(error: BaseException, rows: Iterable[Row]) -> InvalidMessage | None:
    """Find the message with a character that the database's encoding can't represent."""
    fields = diagnostics_of(error)
    names = re.findall(r"\b[A-Z][A-Z0-9_]+\b", f"{fields.message} {fields.detail}")
    if fields.sqlstate != "22P05" or not names:
        return None
    # All encodings that Python does not know include ASCII.
    codec = "ascii"
    with suppress(LookupError):
        codec = codecs.lookup(names[-1].replace("WIN", "cp")).name

    def is_unencodable(text: str) -> bool:
        try:
            text.encode(codec)
        except UnicodeEncodeError:
            return True
        return False

    return _unencodable(rows, is_unencodable, f"encoding {names[-1]} of the database")


def _unencodable(
    rows: Iterable[Row], is_unencodable: Callable[[str], bool], encoding: str
) -> InvalidMessage | None:
    for stream_name, message, data, metadata in rows:
        strings = {
            "stream name": [stream_name],
            "type": [message.type],
            "data": _strings_of(data),
            "metadata": _strings_of(metadata),
        }
        for name, texts in strings.items():
            for text in filter(is_unencodable, texts):
                return InvalidMessage(
                    message,
                    f"the {encoding} can't represent characters of its {name}: "
                    f"{reprlib.repr(text)}",
                )
    return None


def _loaded(text: str | None, **options: Any) -> Any:
    return None if text is None else json.loads(text, **options)


def _strings_of(text: str | None) -> Iterable[str]:
    """Return the strings in a JSON text; if Python can't decode it, the whole text."""
    try:
        return strings_in(_loaded(text))
    except (ValueError, RecursionError):
        return [text or ""]


def _reject_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON value")
