"""The categories of a store, without scanning all messages."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, func, select

from mdb_sqla import functions
from mdb_sqla.tables import messages

__all__ = ["categories"]


def categories(limit: int) -> Select[Any]:
    """Select up to `limit` categories, using a loose index scan."""
    category = functions.category(messages.c.stream_name)
    found = select(category.label("category")).order_by(category).limit(1)
    found_one = found.cte("found", recursive=True)
    following = select(func.min(category)).where(category > found_one.c.category).scalar_subquery()
    found_all = found_one.union_all(select(following).where(found_one.c.category.is_not(None)))
    some = select(found_all.c.category).limit(limit + 1).subquery()  # the last one is NULL
    return select(some.c.category).where(some.c.category.is_not(None)).limit(limit)
