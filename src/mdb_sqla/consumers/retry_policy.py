"""The retry policy of a consumer's handlers."""

from __future__ import annotations

from dataclasses import dataclass

from mdb_sqla.errors import InvalidArgument

__all__ = ["RetryPolicy"]


@dataclass(frozen=True)
class RetryPolicy:
    """How often a handler is called before its message counts as failed, with exponential back-off.

    The pauses between attempts double from `initial_interval` up to `max_interval`.

    Args:
        max_attempts: the number of attempts, including the first; 1 means no retry.
        initial_interval: the pause before the first retry, in seconds.
        max_interval: the longest pause, in seconds.

    Raises:
        InvalidArgument: a value is not positive, or `max_interval` is less than `initial_interval`.
    """

    max_attempts: int = 10
    initial_interval: float = 0.1
    max_interval: float = 30.0

    def __post_init__(self) -> None:
        if not self.max_attempts > 0 or not 0 < self.initial_interval <= self.max_interval:
            raise InvalidArgument(
                "max_attempts and initial_interval must be positive, and max_interval must be at "
                f"least initial_interval, got {self!r}"
            )
