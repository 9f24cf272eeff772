"""Errors of entities: streams from which no state can be computed."""

from __future__ import annotations

from mdb_sqla.errors.base import MessageStoreError

__all__ = ["EntityErased", "EventsMissing", "FoldFailed"]


class FoldFailed(MessageStoreError):
    """An event can't be applied to the state of an entity; `__cause__` is the error, if any.

    Attributes:
        stream_name: the stream.
        position: the position of the event in the stream.
        type: the message type of the event.
    """

    def __init__(self, stream_name: str, position: int, type: str, reason: str) -> None:  # noqa: A002
        super().__init__(
            f"The event of type {type!r} at position {position} of stream {stream_name} can't be "
            f"applied: {reason}"
        )
        self.stream_name = stream_name
        self.position = position
        self.type = type


class EventsMissing(MessageStoreError):
    """Events of an entity were deleted, and no snapshot has the state after them.

    Attributes:
        stream_name: the stream.
        position: the position of the first missing event.
    """

    def __init__(self, stream_name: str, position: int, following: int) -> None:
        super().__init__(
            f"Stream {stream_name} has no messages from position {position} to {following - 1}: "
            f"they were deleted, and no usable snapshot has the state at position {following - 1}"
        )
        self.stream_name = stream_name
        self.position = position


class EntityErased(MessageStoreError):
    """The contents of an entity's events were erased, so its state can't be computed.

    Attributes:
        stream_name: the stream.
        position: the position of the first erased event.
    """

    def __init__(self, stream_name: str, position: int) -> None:
        super().__init__(
            f"The message at position {position} of stream {stream_name} was erased, so the state "
            "can't be computed"
        )
        self.stream_name = stream_name
        self.position = position
