"""Failures in words that say what to do."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from mdb_sqla.database.error_fields import sqlstate_of
from mdb_sqla.errors import MessageStoreError
from mdb_sqla.web.bounded_database import TooSlow

__all__ = ["FAILURES", "failure_text"]

FAILURES = (SQLAlchemyError, MessageStoreError, TooSlow, OSError)
"""The errors of a database that is slow, unavailable or has no store. Others are bugs."""

_CANCELED = "57014"


def failure_text(error: BaseException) -> str:
    """Return what is wrong, in one line, without SQL and parameters."""
    if isinstance(error, MessageStoreError | TooSlow):
        return str(error)
    if not isinstance(error, FAILURES):
        return f"This is a bug, which is logged: {type(error).__name__}"
    if isinstance(error, DBAPIError) and sqlstate_of(error) == _CANCELED:
        return "A query took too long and was cancelled"
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return f"The database is unavailable: {lines[0] if lines else type(error).__name__}"
