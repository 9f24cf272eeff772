"""What PostgreSQL takes of messages, and which one it is that it does not take."""

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
    "LONGEST_CALL",
    "REFUSALS_OF_LENGTH",
    "Row",
    "check_length",
    "length_of",
    "refused_message",
    "refused_messages_named",
]

Row = tuple[str, Message, str | None, str | None]
"""A stream's name, a message for it, and its data and metadata as JSON text; None for NULL."""

LONGEST_CALL = 32 * 1024 * 1024
"""How many characters of JSON share a call.

PostgreSQL takes 256 MiB of jsonb, in which two characters (`1,`) become twelve bytes at the most.
"""

_LONGEST_MESSAGE = 1023 * 1024 * 1024
"""How many bytes of JSON a message may have: the server drops a connection that sends a GiB."""

_INTERNAL = "XX000"  # such as that of an array of more elements than there is memory for

REFUSALS_OF_LENGTH = ("54", _INTERNAL)
"""SQLSTATEs that tell of what is too long: those of "program limit exceeded", and another."""

_KEYS = 100  # characters of a message's id and of all keys

_LONG_NAMES = 500
"""How many bytes compressed names have, if they are those that PostgreSQL had no room for.

It does not compress as well as zlib, but keeps 2,704 bytes of a name in an index.
"""


def check_length(message: Message, *texts: str | None) -> None:
    """Check that the server can be sent a message, whose JSON this is.

    Raises:
        InvalidMessage: it is too long.
    """
    # Only what is long is worth the time, for a character may have four bytes.
    if sum(map(len, filter(None, texts))) > _LONGEST_MESSAGE // 4:
        length = sum(len(text.encode()) for text in texts if text)
        if length > _LONGEST_MESSAGE:
            raise InvalidMessage(
                message,
                f"its JSON has {length:,} bytes, and PostgreSQL takes {_LONGEST_MESSAGE:,}",
            )


def length_of(rows: Iterable[Row]) -> int:
    """Return how many characters of JSON the messages have, as they go into a call."""
    return sum(
        len(stream_name) + len(message.type) + len(data or "") + len(metadata or "") + _KEYS
        for stream_name, message, data, metadata in rows
    )


@contextmanager
def refused_messages_named(rows: Sequence[Row]) -> Iterator[None]:
    """Raise `InvalidMessage` where the server or the driver does not take a message of these."""
    try:
        yield
    except (DBAPIError, UnicodeEncodeError) as error:
        invalid = refused_message(error, rows)
        if invalid is None:
            raise
        raise invalid from error


def refused_message(error: BaseException, rows: Sequence[Row]) -> InvalidMessage | None:
    """Find out which message PostgreSQL has refused, and for what; None where it can't be told."""
    if isinstance(error, UnicodeEncodeError):
        refused = error.object[error.start]
        return _without_form(rows, lambda text: refused in text, "connection's client_encoding")
    sqlstate = sqlstate_of(error) or ""
    if sqlstate.startswith("22"):
        return _no_json(rows) or _untranslatable(error, rows)
    if not sqlstate.startswith(REFUSALS_OF_LENGTH) or not rows:
        return None
    is_limit = not sqlstate.startswith(_INTERNAL)
    row = max(rows, key=_room_for_names)
    if is_limit and _room_for_names(row) > _LONG_NAMES:
        names = " and ".join(
            f"{reprlib.repr(name)}, {len(name.encode()):,} bytes" for name in _names(row)
        )
        return InvalidMessage(
            row[1],
            f"PostgreSQL's indexes have no room for its stream name and correlation, {names}; they "
            "take 2,704 bytes, compressed",
        )
    # No other is long enough for that.
    alone = is_limit and len(rows) == 1
    long = [row for row in rows if alone or length_of((row,)) > LONGEST_CALL]
    if len(long) == 1:
        said = diagnostics_of(error)
        length = f"{length_of(long):,} characters"
        why = f"{said.message}. {said.detail}".rstrip()
        return InvalidMessage(long[0][1], f"PostgreSQL does not store its JSON of {length}: {why}")
    return _no_json(rows) if is_limit and not long else None


def _names(row: Row) -> list[str]:
    """Return what an index has of a message: the stream name and the correlation."""
    stream_name, _, _, metadata = row
    known = None
    if "correlationStreamName" in (metadata or ""):
        with suppress(RecursionError):
            known = json.loads(metadata or "")
    correlation = known.get("correlationStreamName") if isinstance(known, dict) else None
    return [stream_name, correlation] if isinstance(correlation, str) else [stream_name]


def _room_for_names(row: Row) -> int:
    return sum(len(zlib.compress(name.encode(), 1)) for name in _names(row))


def _no_json(rows: Iterable[Row]) -> InvalidMessage | None:
    for _, message, data, metadata in rows:
        for name, text in (("data", data), ("metadata", metadata)):
            try:
                value = _loaded(text, parse_constant=_refuse_constant)
            except (ValueError, RecursionError) as error:
                return InvalidMessage(message, f"the {name} must be JSON: {error}")
            if not all(is_storable(string) for string in strings_in(value)):
                return InvalidMessage(
                    message, f"PostgreSQL stores no NUL and no surrogates in JSON: {name}"
                )
    return None


def _untranslatable(error: BaseException, rows: Iterable[Row]) -> InvalidMessage | None:
    """Find the message with a character that the database's encoding has not got."""
    said = diagnostics_of(error)
    names = re.findall(r"\b[A-Z][A-Z0-9_]+\b", f"{said.message} {said.detail}")
    if said.sqlstate != "22P05" or not names:
        return None
    # Where Python does not know it, as a few, it has at least ASCII.
    codec = "ascii"
    with suppress(LookupError):
        codec = codecs.lookup(names[-1].replace("WIN", "cp")).name

    def is_refused(text: str) -> bool:
        try:
            text.encode(codec)
        except UnicodeEncodeError:
            return True
        return False

    return _without_form(rows, is_refused, f"encoding {names[-1]} of the database")


def _without_form(
    rows: Iterable[Row], is_refused: Callable[[str], bool], encoding: str
) -> InvalidMessage | None:
    for stream_name, message, data, metadata in rows:
        parts = {
            "stream name": [stream_name],
            "type": [message.type],
            "data": _strings_of(data),
            "metadata": _strings_of(metadata),
        }
        for name, texts in parts.items():
            for text in filter(is_refused, texts):
                return InvalidMessage(
                    message,
                    f"the {encoding} has not all characters of its {name}: {reprlib.repr(text)}",
                )
    return None


def _loaded(text: str | None, **options: Any) -> Any:
    return None if text is None else json.loads(text, **options)


def _strings_of(text: str | None) -> Iterable[str]:
    """Return the strings in JSON; where Python can't decode it, the text stands for them."""
    try:
        return strings_in(_loaded(text))
    except (ValueError, RecursionError):
        return [text or ""]


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON value")
