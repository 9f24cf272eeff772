"""Errors of the server by SQLSTATE: conflicts, outages, and what passes by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from mdb_sqla import errors
from mdb_sqla.database.error_fields import diagnostics_of, sqlstate_of

__all__ = [
    "conflict_of",
    "conflicts_translated",
    "is_conflict",
    "is_outage",
    "is_passing",
    "raise_conflict",
]

_STREAM_INDEX = "messages_stream"

_CONFLICTS = {"40001": "serialization failure", "40P01": "deadlock"}

# By class (the first two characters), or by one state of a class.
_OUTAGES = (
    "08",  # connection exception
    "25006",  # read-only: a standby, a primary that is switched over, a full disk at some providers
    "25P03",  # idle in transaction for too long
    "53",  # insufficient resources: disk, memory, connections
    "57P",  # shutting down, crashed, starting, idle for too long
    "58",  # an error outside of PostgreSQL, such as of its disk
)
_PASSING = (
    *_OUTAGES,
    "40",  # rolled back for the sake of others
    "55000",  # not in this state: recovery is in progress
    "55P03",  # a lock was not available in time
    "57014",  # cancelled, by a time-out or by somebody
)


@contextmanager
def conflicts_translated() -> Iterator[None]:
    """Raise `TransactionConflict` for what PostgreSQL asks to run again; around any statements."""
    try:
        yield
    except DBAPIError as error:
        raise_conflict(error)
        raise


def raise_conflict(error: BaseException | None) -> None:
    """Raise `TransactionConflict` if this is PostgreSQL asking to run the transaction again."""
    if isinstance(error, DBAPIError) and (conflict := conflict_of(error)):
        raise conflict from error


def is_conflict(error: BaseException) -> bool:
    """Whether PostgreSQL asks to run the transaction again."""
    if isinstance(error, DBAPIError):
        return conflict_of(error) is not None
    return isinstance(error, errors.TransactionConflict)


def is_passing(error: BaseException) -> bool:
    """Whether the server can't do something at the moment, so that it may be tried again later.

    It is not reached, shuts down, starts, is read-only or a standby, has no room, no memory or no
    connection left, a lock is held for too long, a statement was cancelled or took too long, or
    PostgreSQL asks to run the transaction again.
    """
    sqlstate = sqlstate_of(error) or ""
    if not isinstance(error, DBAPIError):
        passing = errors.ReadNotExact | errors.TooManyLocks | errors.TransactionConflict
        # SQLAlchemy 2.0 lets through what asyncpg raises while it connects.
        return isinstance(error, passing) or sqlstate.startswith(_PASSING)
    return (
        error.connection_invalidated
        or sqlstate.startswith(_PASSING)
        # A driver that can't connect has no SQLSTATE to tell, or has that of the server's refusal.
        or (not sqlstate and isinstance(error, OperationalError | InterfaceError))
    )


def is_outage(error: BaseException) -> bool:
    """Whether the server as a whole is in such a state: it is no lock, no time-out, no conflict."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, errors.TooManyLocks)
    return (sqlstate_of(error) or "").startswith(_OUTAGES)


def conflict_of(error: DBAPIError) -> errors.TransactionConflict | None:
    """Return the error for PostgreSQL asking to run the transaction again; None where it is not."""
    said = diagnostics_of(error)
    sqlstate = said.sqlstate
    if sqlstate == "23505" and said.constraint == _STREAM_INDEX and said.table == "messages":
        # By a writer without the lock.
        sqlstate = "40001"
    if sqlstate not in _CONFLICTS:
        return None
    return errors.TransactionConflict(
        f"PostgreSQL asks to run the transaction again ({_CONFLICTS[sqlstate]}): {said.message}",
        sqlstate=sqlstate,
    )
