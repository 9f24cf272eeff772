"""Failures in words that say what to do."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

from mdb_sqla.database.error_fields import sqlstate_of
from mdb_sqla.errors import MessageStoreError
from mdb_sqla.web.bounded_database import STATEMENT_TIMEOUT, TooSlow

__all__ = ["failure_text"]

_CANCELED = "57014"


def failure_text(error: BaseException) -> str:
    """Return what is wrong, in one line, without SQL and parameters."""
    if isinstance(error, MessageStoreError | TooSlow):
        return str(error)
    if isinstance(error, DBAPIError) and sqlstate_of(error) == _CANCELED:
        return f"A query took longer than {STATEMENT_TIMEOUT:g} s and was cancelled"
    if isinstance(error, DBAPIError):
        error = error.orig or error
    lines = str(error).strip().splitlines()
    first = lines[0] if lines else type(error).__name__
    return f"The database is unavailable: {first}"
