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
"""What a session that has several engines picks the one for a write by."""

_DRIVERS = ("psycopg", "asyncpg", "psycopg2")

# A cursor on the server, which the application may have asked for, would run a function only as far
# as its rows are fetched.
_OPTIONS = {"stream_results": False}


def database(db: object) -> Database:
    """Return what statements are executed with.

    Raises:
        InvalidArgument: it is neither a session nor a connection, or one that has to be awaited.
    """
    if isinstance(db, scoped_session):
        db = db()
    if not isinstance(db, Session | Connection):
        raise InvalidArgument(
            "A Session or a Connection is needed (an AsyncSession and an AsyncConnection have "
            f"run_sync): {described(db)}"
        )
    return db


def execute(
    db: Database, statement: Executable, parameters: dict[str, Any], bound_as: ClauseElement
) -> Sequence[ResultRow[Any]]:
    """Execute a statement, fetch its rows and raise the server's refusals as our errors.

    A session that has several engines picks the one for `bound_as`: a write goes where an insert
    into `messages` goes.
    """
    check_driver(bind_of(db, bound_as).dialect)
    with translated():
        return _result(db, statement, parameters, bound_as).all()


def execute_raw(
    db: Database, statement: Executable, parameters: dict[str, Any], bound_as: ClauseElement
) -> Sequence[Sequence[Any]]:
    """Read messages, as the driver's own rows: SQLAlchemy's around them cost their time."""
    with translated(), encodings_translated():
        result = _result(db, statement, parameters, bound_as)
        # Something else is what an application's listener has put in its place.
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
    """Return the dialect of the engine that messages are written with, or something else is.

    Raises:
        InvalidArgument: its driver is not supported.
    """
    dialect = bind_of(db, bound_as).dialect
    check_driver(dialect)
    return dialect


def bind_of(db: Database, bound_as: ClauseElement = WRITES) -> Engine | Connection:
    """Return what a session picks for the writing of messages, or for something else.

    Raises:
        InvalidArgument: it needs an object of the application's to pick one by.
    """
    if not isinstance(db, Session):
        return db
    try:
        return db.get_bind(clause=bound_as)
    except AssertionError as error:
        # SQLAlchemy's ShardedSession, which has no other way to say so.
        raise InvalidArgument(
            "The session does not tell which of its databases has the messages: use a session, or "
            f"a connection, of that database alone: {described(db)}"
        ) from error


def check_driver(dialect: Dialect) -> None:
    """Check that what the server refuses can be found out with this driver.

    Raises:
        InvalidArgument: it is another, or that of another database.
    """
    if dialect.driver not in _DRIVERS:
        raise InvalidArgument(
            f"The store needs PostgreSQL over {', '.join(_DRIVERS)}, and not "
            f"{dialect.name}+{dialect.driver}"
        )


def connection_of(db: Database) -> Connection:
    """Return the connection that messages are written over."""
    return db.connection(bind_arguments={"clause": WRITES}) if isinstance(db, Session) else db


def is_intercepted(db: Database) -> bool:
    """Whether the application changes statements of the session's before they are executed."""
    return isinstance(db, Session) and bool(db.dispatch.do_orm_execute)


def is_autocommit(connection: Connection) -> bool:
    """Whether each statement is a transaction of its own."""
    return bool(getattr(connection.connection.dbapi_connection, "autocommit", False))


def check_isolation(connection: Connection, what: str) -> None:
    """Refuse a transaction that does not see what others commit while it waits for them.

    Raises:
        InvalidArgument: its isolation level is not READ COMMITTED, or the connection is AUTOCOMMIT.
    """
    if is_autocommit(connection):
        raise InvalidArgument(f"{what} needs a transaction; the connection is AUTOCOMMIT")
    level = connection.get_isolation_level()
    if level != "READ COMMITTED":
        raise InvalidArgument(f"{what} needs the isolation level READ COMMITTED, and not {level}")


def check_written(written: int, messages: int) -> None:
    """Refuse a write of which the server has left something out.

    Raises:
        MessageStoreError: fewer messages were written than there are.
    """
    if written != messages:
        raise MessageStoreError(
            f"{written} of {messages} messages were written: a trigger has left some out"
        )


def quoted(name: str) -> str:
    """Return a name as SQL's identifier.

    SQLAlchemy's own doubles a `%`, and so does its `DDL` once more.
    """
    return '"' + name.replace('"', '""') + '"'


def ddl(statement: str, **identifiers: str) -> Executable:
    """Return a statement in which `%(name)s` stands for an identifier, as it is to be sent."""
    # SQLAlchemy has no types for its constructor.
    made: Executable = DDL(statement, context=identifiers)  # type: ignore[no-untyped-call]
    return made


def schema_of(db: Engine | Connection) -> str:
    """Return the name of the store's schema, as the application has it translated.

    None stands for the schema that is first in the search path when the engine first connects.
    """
    schemas = db.get_execution_options().get("schema_translate_map") or {}
    schema = schemas.get(tables.SCHEMA, tables.SCHEMA) or db.dialect.default_schema_name
    return plain(schema or "public")


def qualified(connection: Connection, name: str) -> str:
    """Return the identifier of something in the schema of the store."""
    return f"{quoted(schema_of(connection))}.{name}"
