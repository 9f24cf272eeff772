"""What a driver hands over of an error of the server, the same for every driver."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy.exc import DBAPIError

__all__ = ["Diagnostics", "diagnostics_of", "sqlstate_of"]


class Diagnostics(NamedTuple):
    """Fields of PostgreSQL's error report; those that it does not have are empty.

    Attributes:
        sqlstate: None without one, such as where there was no connection.
        message: the primary message; the driver's own text where the server sent none.
        detail: the secondary message.
        hint: what to do.
        context: the calls that it happened in.
        schema: the schema of what it is about.
        table: the table.
        constraint: the constraint, or the kind of an error that one of our functions raises.
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
    """Return the fields of the driver's error, or of SQLAlchemy's around it."""
    original = error.orig if isinstance(error, DBAPIError) else error
    # psycopg has them in `diag`; SQLAlchemy raises its asyncpg errors from asyncpg's own.
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
    """Return the SQLSTATE of the driver's error, or of SQLAlchemy's around it; None without one."""
    original = error.orig if isinstance(error, DBAPIError) else error
    # psycopg2 calls it otherwise.
    sqlstate: str | None = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)
    return sqlstate
