"""Lock timeouts. A waiting lock request blocks all requests queued behind it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import OperationalError

from mdb_sqla.database.error_fields import sqlstate_of
from mdb_sqla.database.execution import WRITES, execute
from mdb_sqla.errors import InvalidArgument, StoreBusy
from mdb_sqla.words.argument_checks import described

__all__ = ["check_wait", "is_lock_timeout", "lock_timeout"]

_LOCK_NOT_AVAILABLE = "55P03"


def check_wait(wait: float) -> None:
    """Validate a timeout.

    Raises:
        InvalidArgument: the timeout is not greater than 0.
    """
    if not wait > 0:
        raise InvalidArgument(f"wait must be a positive number of seconds, got {described(wait)}")


@contextmanager
def lock_timeout(connection: Connection, seconds: float, message: str) -> Iterator[None]:
    """Set the lock timeout until the transaction ends.

    Args:
        connection: a connection in a transaction.
        seconds: the timeout for each lock.
        message: the message of `StoreBusy`.

    Raises:
        StoreBusy: a lock was not acquired in time.
    """
    # At least a millisecond: 0 would disable the timeout.
    timeout = f"{max(1, round(1000 * seconds))}ms"
    execute(
        connection, select(func.pg_catalog.set_config("lock_timeout", timeout, True)), {}, WRITES
    )
    try:
        yield
    except OperationalError as error:
        if not is_lock_timeout(error):
            raise
        raise StoreBusy(message) from error


def is_lock_timeout(error: BaseException) -> bool:
    """Return whether an error means that a lock was not acquired in time."""
    return sqlstate_of(error) == _LOCK_NOT_AVAILABLE
