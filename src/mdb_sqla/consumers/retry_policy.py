"""The retry policy of a consumer's handlers."""

from __future__ import annotations

from dataclasses import dataclass

from mdb_sqla.errors import InvalidArgument

__all__ = ["RetryPolicy"]


@dataclass(frozen=True)
class RetryPolicy:
    """How often a handler is called before its message counts as failed; exponential back-off.

    The pauses double from `initial_interval` up to `max_interval`.

    Args:
        max_attempts: including the first; 1 means no retry.
        initial_interval: in seconds, before the first retry.
        max_interval: in seconds.

    Raises:
        InvalidArgument: a value is not more than 0, or the longest pause is less than the first.
    """

    max_attempts: int = 10
    initial_interval: float = 0.1
    max_interval: float = 30.0

    def __post_init__(self) -> None:
        if not self.max_attempts > 0 or not 0 < self.initial_interval <= self.max_interval:
            raise InvalidArgument(
                "max_attempts and initial_interval must be more than 0, and max_interval at least "
                f"initial_interval: {self!r}"
            )
