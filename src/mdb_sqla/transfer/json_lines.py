"""Messages as lines of JSON: what is printed for programs, exported, imported and written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import JSON

from mdb_sqla.errors import InvalidLine
from mdb_sqla.transfer.line_format import WRITTEN, Format
from mdb_sqla.words.message import Message

__all__ = ["Line", "RawMessage", "messages_in", "parse"]

# Where the zone of a time that only PostgreSQL has belongs.
_ODD_ZONE = re.compile("(?= BC$)|$")


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
    for line in parse(lines, WRITTEN):
        values = line.values
        stream_name = values.pop("stream_name")
        if "id" in values:
            values["id"] = UUID(values["id"])
        if "data" in values and values["data"] is None:
            values["data"] = JSON.NULL
        yield stream_name, Message(**values)


def parse(lines: Iterable[bytes], expected: Format) -> Iterator[Line]:
    """Iterate over the lines of a file, each checked; those that are blank are left out.

    Args:
        lines: in UTF-8.
        expected: what they have.

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
            yield Line(number, text, expected.values(text, number))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
