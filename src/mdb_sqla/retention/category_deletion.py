"""What a run of the retention job has deleted of a category."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from mdb_sqla.retention.holds import Hold
from mdb_sqla.retention.policy import RetentionPolicy

__all__ = ["Batch", "CategoryDeletion"]


class Batch(NamedTuple):
    """The messages of a transaction of the job.

    Attributes:
        number: the number of messages.
        first_global_position: the first of their global positions; None if there are none.
        last_global_position: the last of their global positions.
        first_time: the earliest of their times; None if Python can't represent it.
        last_time: the latest of their times.
    """

    number: int
    first_global_position: int | None
    last_global_position: int | None
    first_time: datetime | None
    last_time: datetime | None


@dataclass(frozen=True)
class CategoryDeletion:
    """The messages of a category that a run of the job has deleted, or that it would delete.

    Attributes:
        policy: the retention policy.
        messages: the number of messages.
        first_global_position: the first of their global positions; None if there are none.
        last_global_position: the last of their global positions.
        first_time: the earliest of their times.
        last_time: the latest of their times.
        holds: what keeps other messages, which the policy does not keep.
    """

    policy: RetentionPolicy
    messages: int = 0
    first_global_position: int | None = None
    last_global_position: int | None = None
    first_time: datetime | None = None
    last_time: datetime | None = None
    holds: tuple[Hold, ...] = ()

    def including(self, batch: Batch) -> CategoryDeletion:
        """Return the deletion with a further batch."""
        first = self.first_global_position
        times = [
            time
            for time in (self.first_time, self.last_time, batch.first_time, batch.last_time)
            if time is not None
        ]
        return replace(
            self,
            messages=self.messages + batch.number,
            first_global_position=batch.first_global_position if first is None else first,
            last_global_position=batch.last_global_position,
            first_time=min(times, default=None),
            last_time=max(times, default=None),
        )
