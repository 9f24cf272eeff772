"""Errors of projections."""

from __future__ import annotations

from typing import Any

from mdb_sqla.errors.base import MessageStoreError

__all__ = ["NotProjected", "ProjectionFailed", "ProjectionRefused"]


class ProjectionFailed(MessageStoreError):
    """A projection could not apply a message; `__cause__` is the handler's error, if any.

    A consumer treats the error like a failed handler. If a projection is maintained inline, the
    transaction that writes the message fails.

    Attributes:
        projection: the projection's name.
        message: the message.
    """

    def __init__(self, projection: str, message: Any, rule: str) -> None:
        super().__init__(
            f"Projection {projection!r} can't apply message {message.global_position} of type "
            f"{message.type!r}, position {message.position} of stream {message.stream_name}: {rule}"
        )
        self.projection = projection
        self.message = message


class ProjectionRefused(MessageStoreError):
    """The state of the database does not allow an operation on a projection; nothing was changed.

    For example, another version of the projection is the current one, its table is missing, or it
    is maintained in another way. A consumer that gets this error stops.

    Attributes:
        projection: the projection's name.
    """

    def __init__(self, projection: str, rule: str) -> None:
        super().__init__(f"Projection {projection!r}: {rule}")
        self.projection = projection


class NotProjected(MessageStoreError, TimeoutError):
    """A projection had not applied all messages up to a global position before the timeout.

    Attributes:
        projection: the projection's name.
        position: the global position.
        seconds: the timeout.
    """

    def __init__(self, projection: str, position: int, seconds: float) -> None:
        super().__init__(
            f"Projection {projection!r} has not applied all messages up to global position "
            f"{position} within {seconds:g} seconds"
        )
        self.projection = projection
        self.position = position
        self.seconds = seconds
