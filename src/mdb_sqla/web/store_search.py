"""Search for streams and categories by their names, with a few look-ups in indexes."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import ARRAY, Connection, Text, cast, func, select

from mdb_sqla.database.execution import WRITES, execute
from mdb_sqla.store.categories import categories
from mdb_sqla.tables import messages

__all__ = ["find_names", "find_position", "position_in_stream"]

_MAX_CATEGORIES = 1_000
_MAX_STREAMS = 20
_MAX_LENGTH = 8_000  # characters; it is looked up in each category

_stream_name = messages.c.stream_name


def find_position(db: Connection, text: str) -> int | None:
    """Return the global position of the message that an id or a global position names, if any."""
    position = messages.c.global_position
    if text.isdecimal() and len(text) <= 18:
        statement = select(position).where(position == int(text))
    else:
        try:
            statement = select(position).where(messages.c.id == UUID(text))
        except ValueError:
            return None
    rows = execute(db, statement, {}, WRITES)
    return rows[0][0] if rows else None


def position_in_stream(db: Connection, stream: str, position: int) -> int | None:
    """Return the global position of a message of a stream; None if there is none."""
    statement = select(messages.c.global_position).where(
        _stream_name == stream, messages.c.position == position
    )
    rows = execute(db, statement, {}, WRITES)
    return rows[0][0] if rows else None


def find_names(db: Connection, text: str) -> list[dict[str, str]]:
    """Return the categories and streams that a text names, as the filters of a list of messages.

    These are the stream or category of this name, the streams with this id in any category, the
    streams that begin with the text, and the categories that contain it, regardless of case.
    """
    if len(text) > _MAX_LENGTH:
        return []
    known = [row.category for row in execute(db, categories(_MAX_CATEGORIES), {}, WRITES)]
    streams = dict.fromkeys(_existing(db, [text, *(f"{name}-{text}" for name in known)]))
    if text not in streams:
        streams |= dict.fromkeys(_with_prefix(db, text))
    names = [name for name in known if text.casefold() in name.casefold()]
    # An exact match is what was meant.
    if text in streams or text in names:
        streams = {text: None} if text in streams and "-" in text else {}
        names = [text] if text in names else []
    return [
        *({"category": name} for name in names[:_MAX_STREAMS]),
        *({"stream": name} for name in list(streams)[:_MAX_STREAMS] if name not in names),
    ]


def _existing(db: Connection, names: list[str]) -> list[str]:
    given = func.unnest(cast(names, ARRAY(Text))).column_valued("name")
    is_stored = select(messages.c.id).where(_stream_name == given).exists()
    return [
        row.name for row in execute(db, select(given.label("name")).where(is_stored), {}, WRITES)
    ]


def _with_prefix(db: Connection, prefix: str) -> list[str]:
    found: list[str] = []
    following = _stream_name >= prefix
    while len(found) < _MAX_STREAMS:
        ((name,),) = execute(db, select(func.min(_stream_name)).where(following), {}, WRITES)
        if name is None or not name.casefold().startswith(prefix.casefold()):
            break
        found.append(name)
        following = _stream_name > name
    return found
