"""Errors that end a command: one message and an exit status."""

from __future__ import annotations

import re

from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from mdb_sqla.cli.connection_failure import connection_failure
from mdb_sqla.cli.options import FAILED, LIBPQ_MISSING, USAGE
from mdb_sqla.embedded import EmbeddedPostgresError
from mdb_sqla.errors import InvalidArgument, InvalidLine, InvalidMessage, MessageStoreError

__all__ = ["is_libpq_missing", "message_and_status"]

# The second is that of a PSYCOPG_IMPL.
_NO_LIBPQ = re.compile("no pq wrapper available|requested psycopg .*implementation")


def message_and_status(error: Exception) -> tuple[str, int] | None:
    """Return the message and the exit status for an error; None for an unexpected one."""
    if isinstance(error, MessageStoreError | EmbeddedPostgresError):
        text = ". ".join([str(error), *getattr(error, "__notes__", ())])
        # A line of a file is not an argument.
        is_usage = isinstance(error, InvalidArgument | InvalidMessage)
        return text, USAGE if is_usage and not isinstance(error, InvalidLine) else FAILED
    if isinstance(error, ArgumentError):
        return f"Invalid database URL: {error}", USAGE
    if isinstance(error, SQLAlchemyError) or _is_driver_error(error):
        driver_error = getattr(error, "orig", None) or error
        return connection_failure(driver_error) or str(driver_error), FAILED
    if isinstance(error, OSError):
        return error.strerror or str(error), FAILED
    if isinstance(error, ImportError) and is_libpq_missing(error):
        return f"{LIBPQ_MISSING}.", FAILED
    return None


def is_libpq_missing(error: ImportError) -> bool:
    """Whether psycopg could not be imported because it found no libpq."""
    return _NO_LIBPQ.search(str(error)) is not None


def _is_driver_error(error: Exception) -> bool:
    # Errors of a COPY or a listener are not wrapped.
    return any(each.__module__.partition(".")[0] == "psycopg" for each in type(error).__mro__)
