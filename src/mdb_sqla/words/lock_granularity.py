"""Lock granularity."""

from __future__ import annotations

import enum

from mdb_sqla.errors import InvalidArgument
from mdb_sqla.errors.display import described

__all__ = ["LockGranularity"]


class LockGranularity(enum.StrEnum):
    """The scope of the lock that a writer holds until its transaction ends.

    - `STREAM`, the default for a new store: writers to the same stream wait for each other.
    - `CATEGORY`, kept by an adopted store: writers to the same category wait for each other.
    """

    CATEGORY = "category"
    STREAM = "stream"

    @classmethod
    def _missing_(cls, value: object) -> LockGranularity:
        raise InvalidArgument(
            f"lock_granularity must be 'category' or 'stream', got {described(value)}"
        )
