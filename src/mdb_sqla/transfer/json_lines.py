"""Messages as JSON Lines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import JSON

from mdb_sqla.errors import InvalidLine
from mdb_sqla.transfer.line_validation import WRITTEN, Format
from mdb_sqla.words.message import Message

__all__ = ["Line", "RawMessage", "messages_in", "parse"]

# Where the zone belongs in a time that Python can't represent.
_ZONE = re.compile("(?= BC$)|$")


class RawMessage(NamedTuple):
    """A message with its data and metadata as stored JSON text; None for NULL.

    The text preserves all digits of numbers and distinguishes NULL from JSON null. A time that
    Python can't represent is a string in PostgreSQL's JSON format: `infinity`,
    `20000-01-01T00:00:00` or `0044-03-15T00:00:00 BC`.
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
        """The time with its zone, in a format that PostgreSQL reads."""
        if isinstance(self.time, datetime):
            return f"{self.time.isoformat()}Z"
        return self.time if "infinity" in self.time else _ZONE.sub("Z", self.time, count=1)

    @property
    def line(self) -> str:
        """The message as a line of JSON with a trailing newline; NULL values are omitted."""
        data = "" if self.data is None else f', "data": {self.data}'
        metadata = "" if self.metadata is None else f', "metadata": {self.metadata}'
        return (
            f'{{"id": "{self.id}", "stream_name": {_quoted(self.stream_name)}, '
            f'"type": {_quoted(self.type)}, "position": {self.position}, '
            f'"global_position": {self.global_position}, "time": "{self.shown_time}"'
            f"{data}{metadata}}}\n"
        )


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


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
