"""Example messages and stream names, unique in each call."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import uuid4

from mdb_sqla.words.argument_checks import plain
from mdb_sqla.words.message import Message, StoredMessage
from mdb_sqla.words.stream_name import StreamName

__all__ = ["example_message", "example_stored_message", "example_stream_name"]

_global_positions = count(1)


def example_stream_name(category: str = "example") -> StreamName:
    """Return a unique stream name in a category."""
    return StreamName(f"{StreamName(category)}-{uuid4()}")


def example_message(**changes: Any) -> Message:
    """Return a message to write. Pass fields to override them."""
    return Message(**{"type": "Happened", "data": {"number": 1}, **changes})


def example_stored_message(**changes: Any) -> StoredMessage:
    """Return a message as read from the store. Pass fields to override them.

    By default, it is the first message of a unique stream, follows all earlier examples in global
    order, and was written now.
    """
    message = example_message()
    # An Enum member is replaced by its value, as in messages read from the store.
    given: dict[str, Any] = {
        name: plain(value) if isinstance(value, str) else value for name, value in changes.items()
    }
    return StoredMessage(
        id=message.id,
        stream_name=str(example_stream_name()),
        type=message.type,
        position=0,
        global_position=next(_global_positions),
        data=message.data,
        metadata={},
        time=datetime.now(UTC),
    )._replace(**given)
