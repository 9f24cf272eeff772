"""The fields of a server error, independent of the driver."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy.exc import DBAPIError

__all__ = ["Diagnostics", "diagnostics_of", "sqlstate_of"]


class Diagnostics(NamedTuple):
    """The fields of a PostgreSQL error report; missing fields are empty.

    Attributes:
        sqlstate: the SQLSTATE; None if there is none, for example if the connection failed.
        message: the primary message, or the driver's text if the server sent none.
        detail: the detail.
        hint: the hint.
        context: the call stack.
        schema: the schema of the object concerned.
        table: the table.
        constraint: the constraint; for errors raised by the store's functions, the kind of error.
    """

    sqlstate: str | None
    message: str
    detail: str
    hint: str
    context: str
    schema: str
    table: str
    constraint: str


def diagnostics_of(error: BaseException) -> Diagnostics:
    """Return the fields of a driver error, or of the SQLAlchemy error that wraps it."""
    original = error.orig if isinstance(error, DBAPIError) else error
    # psycopg has `diag`; for asyncpg, SQLAlchemy raises its error from asyncpg's.
    psycopg = getattr(original, "diag", None)
    if psycopg is not None:
        source, prefix, message = psycopg, "message_", "message_primary"
    else:
        source, prefix, message = getattr(original, "__cause__", None) or original, "", "message"

    def field(name: str) -> str:
        return getattr(source, name, None) or ""

    return Diagnostics(
        sqlstate_of(error),
        field(message) or str(original),
        field(f"{prefix}detail"),
        field(f"{prefix}hint"),
        field("context"),
        field("schema_name"),
        field("table_name"),
        field("constraint_name"),
    )


def sqlstate_of(error: BaseException) -> str | None:
    """Return the SQLSTATE of a driver error or of the SQLAlchemy error that wraps it, or None."""
    original = error.orig if isinstance(error, DBAPIError) else error
    # psycopg2 names it `pgcode`.
    sqlstate: str | None = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)
    return sqlstate
