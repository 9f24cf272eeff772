from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

from sqlalchemy import (
    DDL,
    ClauseElement,
    Connection,
    CursorResult,
    Dialect,
    Engine,
    Executable,
    Result,
    insert,
)
from sqlalchemy import Row as ResultRow
from sqlalchemy.orm import Session, scoped_session

from mdb_sqla import tables
from mdb_sqla.database.encoding import encodings_translated
from mdb_sqla.database.error_translation import translated
from mdb_sqla.errors import InvalidArgument, MessageStoreError
from mdb_sqla.words.argument_checks import described, plain

__all__ = [
    "WRITES",
    "Database",
    "bind_of",
    "check_driver",
    "check_isolation",
    "check_written",
    "connection_of",
    "database",
    "ddl",
    "dialect_of",
    "execute",
    "execute_raw",
    "is_autocommit",
    "is_intercepted",
    "qualified",
    "quoted",
    "schema_of",
]

Database = Session | Connection

WRITES = insert(tables.messages)
"""A session with several engines selects the engine for writes by this statement."""

_DRIVERS = ("psycopg", "asyncpg", "psycopg2")

# With a server-side cursor, a function would execute only as far as its rows are fetched.
_OPTIONS = {"stream_results": False}


def database(db: object) -> Database:
    """Return the session or connection to execute statements with.

    Raises:
        InvalidArgument: `db` is neither a session nor a connection, or is async.
    """
    if isinstance(db, scoped_session):
        db = db()
    if not isinstance(db, Session | Connection):
        raise InvalidArgument(
            f"db must be a Session or a Connection, got {described(db)}; with an AsyncSession or "
            "an AsyncConnection, use its run_sync()"
        )
    return db


def execute(
    db: Database, statement: Executable, parameters: dict[str, Any], bound_as: ClauseElement
) -> Sequence[ResultRow[Any]]:
    """Execute a statement and return its rows; server errors are translated.

    A session with several engines selects one of them by `bound_as`.
    """
    check_driver(bind_of(db, bound_as).dialect)
    with translated():
        return _result(db, statement, parameters, bound_as).all()


def execute_raw(
    db: Database, statement: Executable, parameters: dict[str, Any], bound_as: ClauseElement
) -> Sequence[Sequence[Any]]:
    """Read messages as the driver's rows, which is faster than SQLAlchemy's."""
    with translated(), encodings_translated():
        result = _result(db, statement, parameters, bound_as)
        # A `do_orm_execute` listener may return another result.
        if not isinstance(result, CursorResult):
            return result.all()
        with closing(result):
            rows: Sequence[Sequence[Any]] = result.cursor.fetchall()
            return rows


def _result(
    db: Database, statement: Executable, parameters: dict[str, Any], bound_as: ClauseElement
) -> Result[Any]:
    if isinstance(db, Session):
        return db.execute(
            statement,
            parameters,
            bind_arguments={"clause": bound_as},
            execution_options=_OPTIONS,
        )
    return db.execute(statement, parameters, execution_options=_OPTIONS)


def dialect_of(db: Database, bound_as: ClauseElement = WRITES) -> Dialect:
    """Return the dialect of the engine for writes, or for another statement.

    Raises:
        InvalidArgument: the driver is not supported.
    """
    dialect = bind_of(db, bound_as).dialect
    check_driver(dialect)
    return dialect


def bind_of(db: Database, bound_as: ClauseElement = WRITES) -> Engine | Connection:
    """Return the engine or connection that a session uses for writes, or for another statement.

    Raises:
        InvalidArgument: the session is sharded.
    """
    if not isinstance(db, Session):
        return db
    try:
        return db.get_bind(clause=bound_as)
    except AssertionError as error:
        # Raised by SQLAlchemy's ShardedSession.
        raise InvalidArgument(
            f"Can't determine which database of {described(db)} has the messages: pass a session "
            "or connection that uses only that database"
        ) from error


def check_driver(dialect: Dialect) -> None:
    """Check that the driver is supported.

    Raises:
        InvalidArgument: the driver is not supported.
    """
    if dialect.driver not in _DRIVERS:
        raise InvalidArgument(
            f"Unsupported driver {dialect.name}+{dialect.driver}: the store requires PostgreSQL "
            f"with {', '.join(_DRIVERS)}"
        )


def connection_of(db: Database) -> Connection:
    """Return the connection for writes."""
    return db.connection(bind_arguments={"clause": WRITES}) if isinstance(db, Session) else db


def is_intercepted(db: Database) -> bool:
    """Return whether listeners of the application may change the session's statements."""
    return isinstance(db, Session) and bool(db.dispatch.do_orm_execute)


def is_autocommit(connection: Connection) -> bool:
    """Return whether each statement is a separate transaction."""
    return bool(getattr(connection.connection.dbapi_connection, "autocommit", False))


def check_isolation(connection: Connection, what: str) -> None:
    """Check that the isolation level is READ COMMITTED.

    At other levels, an operation doesn't see what other transactions commit while it waits for
    their locks.

    Raises:
        InvalidArgument: the isolation level is another one, or the connection is AUTOCOMMIT.
    """
    if is_autocommit(connection):
        raise InvalidArgument(f"{what} requires a transaction; the connection is AUTOCOMMIT")
    level = connection.get_isolation_level()
    if level != "READ COMMITTED":
        raise InvalidArgument(f"{what} requires isolation level READ COMMITTED, got {level}")


def check_written(written: int, messages: int) -> None:
    """Check that all messages were written.

    Raises:
        MessageStoreError: some messages were not written.
    """
    if written != messages:
        raise MessageStoreError(
            f"{written} of {messages} messages were written: a trigger skipped some; roll back"
        )


def quoted(name: str) -> str:
    """Return a name as a quoted identifier. Unlike SQLAlchemy's quoting, `%` is not doubled."""
    return '"' + name.replace('"', '""') + '"'


def ddl(statement: str, **identifiers: str) -> Executable:
    """Return a DDL statement in which quoted identifiers replace `%(name)s`."""
    # SQLAlchemy's constructor is untyped.
    result: Executable = DDL(statement, context=identifiers)  # type: ignore[no-untyped-call]
    return result


def schema_of(db: Engine | Connection) -> str:
    """Return the store's schema, as translated by `schema_translate_map`.

    A translation to None means the first schema of the search path at the engine's first
    connection.
    """
    schemas = db.get_execution_options().get("schema_translate_map") or {}
    schema = schemas.get(tables.SCHEMA, tables.SCHEMA) or db.dialect.default_schema_name
    return plain(schema or "public")


def qualified(connection: Connection, name: str) -> str:
    """Return the qualified name of an object in the store's schema."""
    return f"{quoted(schema_of(connection))}.{name}"
