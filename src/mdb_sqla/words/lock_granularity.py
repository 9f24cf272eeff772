"""Lock granularity."""

from __future__ import annotations

import enum

from mdb_sqla.errors import InvalidArgument
from mdb_sqla.errors.display import described

__all__ = ["LockGranularity"]


class LockGranularity(enum.StrEnum):
    """What a writer locks until its transaction ends.

    - `STREAM`, the default of a new store: writers of one stream wait for each other.
    - `CATEGORY`, that of an adopted store: writers of one category wait for each other.
    """

    CATEGORY = "category"
    STREAM = "stream"

    @classmethod
    def _missing_(cls, value: object) -> LockGranularity:
        raise InvalidArgument(
            f"The lock granularity must be category or stream, got {described(value)}"
        )
