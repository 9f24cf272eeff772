"""Messages for tests of queries: written, read back, and given another time."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, text, update

from mdb_sqla import Message, MessageStore, StoredMessage, tables

__all__ = ["set_time", "stored", "write"]

m = tables.messages.c


def write(db: Connection, stream: str, *causes: Any, number: int = 1) -> list[int]:
    """Write messages to a stream, each caused by a stored one or by none; returns positions."""
    before = db.scalar(func.coalesce(func.max(m.global_position), 0).select()) or 0
    messages = [Message("T", n) for n in range(number)]
    if causes:
        messages = [Message("T", 0).follow(cause) for cause in causes]
    MessageStore(db).write(stream, messages)
    return list(
        db.scalars(
            text(
                "SELECT global_position FROM message_store.messages "
                "WHERE global_position > :before ORDER BY 1"
            ),
            {"before": before},
        )
    )


def stored(db: Connection, position: int) -> StoredMessage:
    found = db.execute(tables.messages.select().where(m.global_position == position)).one()
    (message,) = MessageStore(db).read_stream(found.stream_name, found.position, batch_size=1)
    return message


def set_time(db: Connection, position: int, time: Any) -> None:
    db.execute(update(tables.messages).where(m.global_position == position).values(time=time))
