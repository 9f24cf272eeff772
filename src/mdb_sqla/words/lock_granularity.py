"""What a writer locks until its transaction ends."""

from __future__ import annotations

import enum

from mdb_sqla.errors import InvalidArgument
from mdb_sqla.errors.display import described

__all__ = ["LockGranularity"]


class LockGranularity(enum.StrEnum):
    """What a writer locks until its transaction ends.

    - `STREAM`, which a new store has: writers wait for each other only in the same stream.
    - `CATEGORY`, which an adopted store has: one transaction at a time writes to a category.
    """

    CATEGORY = "category"
    STREAM = "stream"

    @classmethod
    def _missing_(cls, value: object) -> LockGranularity:
        raise InvalidArgument(
            f"The lock granularity must be category or stream: {described(value)}"
        )
