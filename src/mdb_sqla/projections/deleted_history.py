"""The messages of a projection's categories that retention policies have deleted."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select

from mdb_sqla.database.execution import WRITES, Database, execute
from mdb_sqla.tables import deleted_positions

__all__ = ["deleted_up_to"]


def deleted_up_to(db: Database, categories: Sequence[str]) -> int:
    """Return the global position up to which messages of categories were deleted; 0 if none were.

    Raises:
        StoreNotInstalled: the database has no store, or the store is not up to date.
    """
    last = func.coalesce(func.max(deleted_positions.c.global_position), 0)
    statement = select(last).where(deleted_positions.c.category.in_(categories))
    ((position,),) = execute(db, statement, {}, WRITES)
    return int(position)
