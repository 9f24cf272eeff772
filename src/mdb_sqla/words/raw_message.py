"""Messages as stored, for export, archives and display."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

__all__ = ["RawMessage", "shown_time"]

# Where the zone belongs in a time that Python can't represent.
_ZONE = re.compile("(?= BC$)|$")

# json.dumps() would create an encoder for each call with an option.
_quoted = json.JSONEncoder(ensure_ascii=False).encode


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
        return shown_time(self.time)

    @property
    def line(self) -> str:
        """The message as a line of JSON with a trailing newline; NULL values are omitted."""
        data = "" if self.data is None else f', "data": {self.data}'
        metadata = "" if self.metadata is None else f', "metadata": {self.metadata}'
        return (
            f'{{"id": "{self.id}", "stream_name": {_quoted(self.stream_name)}, '
            f'"type": {_quoted(self.type)}, "position": {self.position}, '
            f'"global_position": {self.global_position}, "time": "{shown_time(self.time)}"'
            f"{data}{metadata}}}\n"
        )


def shown_time(time: datetime | str) -> str:
    """Return the time of a raw message with its zone, in a format that PostgreSQL reads."""
    if isinstance(time, datetime):
        return f"{time.isoformat()}Z"
    return time if "infinity" in time else _ZONE.sub("Z", time, count=1)
