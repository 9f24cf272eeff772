"""The state of an entity, and what it was computed from."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

from mdb_sqla.entities.event_rows import Anchor
from mdb_sqla.words.stream_name import NO_STREAM

__all__ = ["State", "is_same"]

_S = TypeVar("_S")


class State(NamedTuple, Generic[_S]):
    """The state of an entity at a version.

    Attributes:
        value: the state itself, an object of the application.
        version: the position of the last event in it; `NO_STREAM` if there is none.
        anchor: the message that identifies what it was computed from; None if there is none.
        recorded: the version of the last snapshot; `NO_STREAM` if there is none.
        last: what identifies the event at the version; None if it is not known. A failover can lose
            events after the anchor, whose places others then take.
    """

    value: _S
    version: int = NO_STREAM
    anchor: Anchor | None = None
    recorded: int = NO_STREAM
    last: Anchor | None = None


def is_same(state: object, other: object) -> bool:
    """Return whether two states are equal; if their class doesn't define that, by attributes."""
    if type(state) is type(other) and type(state).__eq__ is object.__eq__:
        # Includes the values of slots.
        return bool(state.__reduce_ex__(2)[2] == other.__reduce_ex__(2)[2])
    return bool(state == other)
