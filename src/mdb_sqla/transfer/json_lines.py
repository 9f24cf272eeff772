"""Messages as JSON Lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import JSON

from mdb_sqla.errors import InvalidLine
from mdb_sqla.transfer.line_validation import WRITTEN, Format
from mdb_sqla.words.message import Message

__all__ = ["Line", "messages_in", "parse"]


class Line(NamedTuple):
    """A line of a file.

    Attributes:
        number: the line number, from 1.
        text: the text.
        values: the decoded JSON.
    """

    number: int
    text: str
    values: dict[str, Any]


def messages_in(lines: Iterable[bytes]) -> Iterator[tuple[str, Message]]:
    """Yield the messages of a JSON Lines file with their stream names, for `MessageStore.load`.

    A line has a `stream_name` and a `type`, and optionally `data`, `metadata` and an `id`.

    Args:
        lines: the lines, in UTF-8.

    Raises:
        InvalidLine: a line is not such a message.
    """
    for line in parse(lines, WRITTEN):
        values = line.values
        stream_name = values.pop("stream_name")
        if "id" in values:
            values["id"] = UUID(values["id"])
        if "data" in values and values["data"] is None:
            values["data"] = JSON.NULL
        yield stream_name, Message(**values)


def parse(lines: Iterable[bytes], expected: Format) -> Iterator[Line]:
    """Yield the validated lines of a file, skipping blank lines.

    Args:
        lines: the lines, in UTF-8.
        expected: the format of the lines.

    Raises:
        InvalidLine: a line is not a JSON object, a key is missing or unknown, or a value violates
            its rule.
    """
    for number, line in enumerate(lines, 1):
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise InvalidLine(number, f"not valid UTF-8: {error}") from error
        if not text.isspace():
            yield Line(number, text, expected.values(text, number))
