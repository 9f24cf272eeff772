"""Failures in words that say what to do."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from mdb_sqla.database.error_fields import sqlstate_of
from mdb_sqla.errors import MessageStoreError
from mdb_sqla.web.bounded_database import Unavailable

__all__ = ["FAILURES", "failure_text", "is_too_slow"]

FAILURES = (SQLAlchemyError, MessageStoreError, Unavailable, OSError)
"""The errors of a database that is slow, unavailable or has no store. Others are bugs."""

_CANCELED, _LOCK_NOT_AVAILABLE = "57014", "55P03"


def failure_text(error: BaseException) -> str:
    """Return what is wrong, in one line, without SQL and parameters."""
    if isinstance(error, MessageStoreError | Unavailable):
        return str(error)
    if not isinstance(error, FAILURES):
        return f"This is a bug, which is logged: {type(error).__name__}"
    if is_too_slow(error):
        return "A query took too long and was cancelled"
    if isinstance(error, DBAPIError) and sqlstate_of(error) == _LOCK_NOT_AVAILABLE:
        return "Another transaction held a lock for too long"
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return f"The database is unavailable: {lines[0] if lines else type(error).__name__}"


def is_too_slow(error: BaseException) -> bool:
    """Return whether the server has cancelled a statement that took too long."""
    return isinstance(error, DBAPIError) and sqlstate_of(error) == _CANCELED
