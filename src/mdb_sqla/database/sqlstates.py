"""Classification of server errors: conflicts, outages and other transient errors."""

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
    "is_transient",
    "raise_conflict",
]

_STREAM_INDEX = "messages_stream"

# asyncpg's error, without a SQLSTATE: none of the hosts is what `target_session_attrs` demands.
_NO_SUCH_HOST = "TargetServerAttributeNotMatched"

_CONFLICTS = {"40001": "serialization failure", "40P01": "deadlock"}

# Prefixes of SQLSTATEs: classes (two characters), groups of states, and single states.
_OUTAGES = (
    "08",  # connection exception
    "25006",  # read-only: a standby, a switchover, a full disk at some providers
    "25P03",  # idle-in-transaction timeout
    "53",  # insufficient resources: disk, memory, connections
    "57P",  # shutdown, crash, startup, idle-session timeout
    "58",  # system error, such as a disk failure
)
_TRANSIENT = (
    *_OUTAGES,
    "40",  # transaction rollback, because of a concurrent transaction
    "55000",  # not in prerequisite state: recovery is in progress
    "55P03",  # lock not available
    "57014",  # query cancelled, by a timeout or a user
)


@contextmanager
def conflicts_translated() -> Iterator[None]:
    """Raise `TransactionConflict` for conflicts with concurrent transactions."""
    try:
        yield
    except DBAPIError as error:
        raise_conflict(error)
        raise


def raise_conflict(error: BaseException | None) -> None:
    """Raise `TransactionConflict` if the error is a conflict with a concurrent transaction."""
    if isinstance(error, DBAPIError) and (conflict := conflict_of(error)):
        raise conflict from error


def is_conflict(error: BaseException) -> bool:
    """Return whether the error is a conflict with a concurrent transaction."""
    if isinstance(error, DBAPIError):
        return conflict_of(error) is not None
    return isinstance(error, errors.TransactionConflict)


def is_transient(error: BaseException) -> bool:
    """Return whether the error is transient, so a retry may succeed.

    Errors are transient if the server is unreachable, shutting down, starting up, read-only or a
    standby, or none of several hosts is the primary; if it has run out of disk space, memory or
    connections; and if a lock or statement timed out, a statement was cancelled, or the transaction
    conflicted with another one.
    """
    sqlstate = sqlstate_of(error) or ""
    if _finds_no_host(error):
        return True
    if not isinstance(error, DBAPIError):
        transient = errors.ReadNotExact | errors.TooManyLocks | errors.TransactionConflict
        # SQLAlchemy 2.0 does not wrap errors of asyncpg's connect().
        return isinstance(error, transient) or sqlstate.startswith(_TRANSIENT)
    return (
        error.connection_invalidated
        or sqlstate.startswith(_TRANSIENT)
        # A driver that can't connect reports no SQLSTATE, or that of the server's rejection.
        or (not sqlstate and isinstance(error, OperationalError | InterfaceError))
    )


def is_outage(error: BaseException) -> bool:
    """Return whether the whole server is unavailable, as opposed to locks, timeouts, conflicts."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, errors.TooManyLocks)
    return (sqlstate_of(error) or "").startswith(_OUTAGES)


def _finds_no_host(error: BaseException) -> bool:
    original = getattr(error, "orig", None) or error
    # SQLAlchemy 2.1 raises its own error from asyncpg's.
    return _NO_SUCH_HOST in (type(original).__name__, type(original.__cause__).__name__)


def conflict_of(error: DBAPIError) -> errors.TransactionConflict | None:
    """Return the error for a conflict with a concurrent transaction; None for other errors."""
    fields = diagnostics_of(error)
    sqlstate = fields.sqlstate
    if sqlstate == "23505" and fields.constraint == _STREAM_INDEX and fields.table == "messages":
        # Raised by a writer that did not acquire the stream's lock.
        sqlstate = "40001"
    if sqlstate not in _CONFLICTS:
        return None
    return errors.TransactionConflict(
        f"Retry the whole transaction ({_CONFLICTS[sqlstate]}): {fields.message}",
        sqlstate=sqlstate,
    )
