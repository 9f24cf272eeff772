"""Up to where retention policies have deleted messages."""

from __future__ import annotations

from sqlalchemy import ARRAY, BigInteger, ColumnElement, Text, any_, bindparam, func, or_, select

from mdb_sqla.tables import deleted_positions

__all__ = ["deleted_up_to", "last_deleted"]

_LAST = func.coalesce(func.max(deleted_positions.c.global_position), 0, type_=BigInteger)
_CATEGORIES = bindparam("read_categories", type_=ARRAY(Text))


def deleted_up_to() -> ColumnElement[int]:
    """Return an expression: the last position that was deleted in categories; 0 if none was.

    The parameter `read_categories` has the categories that the consumer reads; empty for all.
    """
    is_read = or_(
        func.cardinality(_CATEGORIES) == 0, deleted_positions.c.category == any_(_CATEGORIES)
    )
    return select(_LAST).where(is_read).scalar_subquery()


def last_deleted() -> ColumnElement[int]:
    """Return an expression: the last position that was deleted in any category; 0 if none was."""
    return select(_LAST).scalar_subquery()
