"""Waits for the locks of others, but not for ever: whoever comes after it waits as well."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import OperationalError

from mdb_sqla.database.error_fields import sqlstate_of
from mdb_sqla.database.execution import WRITES, execute
from mdb_sqla.errors import InvalidArgument, StoreBusy

__all__ = ["check_wait", "is_lock_timeout", "lock_timeout"]

_LOCK_NOT_AVAILABLE = "55P03"


def check_wait(wait: float) -> None:
    """Refuse a time that is none to wait.

    Raises:
        InvalidArgument: it is not more than 0.
    """
    if not wait > 0:
        raise InvalidArgument(f"wait must be more than 0 seconds: {wait!r}")


@contextmanager
def lock_timeout(connection: Connection, seconds: float, refusal: str) -> Iterator[None]:
    """Wait for each lock so long at most; the limit holds until the transaction ends.

    Raises:
        StoreBusy: others have not let go of a lock in that time.
    """
    # At least a millisecond: 0 would be for ever.
    timeout = f"{max(1, round(1000 * seconds))}ms"
    execute(
        connection, select(func.pg_catalog.set_config("lock_timeout", timeout, True)), {}, WRITES
    )
    try:
        yield
    except OperationalError as error:
        if not is_lock_timeout(error):
            raise
        raise StoreBusy(refusal) from error


def is_lock_timeout(error: BaseException) -> bool:
    """Whether a lock was waited for too long."""
    return sqlstate_of(error) == _LOCK_NOT_AVAILABLE
