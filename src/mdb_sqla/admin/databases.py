"""Creates and drops whole databases, for a store of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, Text, cast, column, create_engine, select, table
from sqlalchemy.exc import DBAPIError

from mdb_sqla.database.diagnostics import sqlstate_of
from mdb_sqla.database.execution import ddl, quoted
from mdb_sqla.errors import InvalidArgument, StoreBusy

__all__ = ["MAINTENANCE", "create_database", "delete_database"]

MAINTENANCE = "postgres"
"""The database that one connects to for what can't be done from within the database itself."""

_EXISTS = "42P04"
_MISSING = "3D000"
_IN_USE = "55006"

_databases = table("pg_database", column("datname"), schema="pg_catalog")


def create_database(engine: Engine, *, maintenance: str = MAINTENANCE) -> bool:
    """Create the engine's database, empty; returns False where it is there already.

    Args:
        engine: its URL names the database.
        maintenance: a database to connect to meanwhile.

    Raises:
        InvalidArgument: the URL names no database, or the maintenance database.
        DBAPIError: the server refuses it, as where the role may not create databases.
    """
    with _maintaining(engine, maintenance) as (connection, name):
        # As text: an operator for `name` and `varchar` could be somebody else's.
        is_there = cast(_databases.c.datname, Text) == cast(name, Text)
        if connection.scalar(select(_databases).where(is_there)) is not None:
            return False
        try:
            connection.execute(ddl("CREATE DATABASE %(name)s", name=quoted(name)))
        except DBAPIError as error:
            # Another process was faster.
            if sqlstate_of(error) != _EXISTS:
                raise
            return False
        return True


def delete_database(engine: Engine, *, force: bool = False, maintenance: str = MAINTENANCE) -> bool:
    """Drop the engine's database with all that is in it; returns False where there is none.

    Roles stay, for other databases may use them.

    Args:
        engine: its URL names the database. Its own connections to it are to be closed.
        force: whether to end the connections that others have.
        maintenance: a database to connect to meanwhile.

    Raises:
        StoreBusy: others are connected to it, and `force` is False.
        InvalidArgument: the URL names no database, or the maintenance database.
        DBAPIError: the server refuses it, as where the role does not own the database.
    """
    with _maintaining(engine, maintenance) as (connection, name):
        option = " WITH (FORCE)" if force else ""
        try:
            connection.execute(ddl(f"DROP DATABASE %(name)s{option}", name=quoted(name)))
        except DBAPIError as error:
            if sqlstate_of(error) == _MISSING:
                return False
            if sqlstate_of(error) == _IN_USE:
                raise StoreBusy(
                    f"Database {name} was not deleted: others are connected to it"
                ) from error
            raise
        return True


@contextmanager
def _maintaining(engine: Engine, maintenance: str) -> Iterator[tuple[Connection, str]]:
    name = engine.url.database
    if not name:
        raise InvalidArgument("The URL must name a database, as in postgresql://host/database")
    if name == maintenance:
        raise InvalidArgument(
            f"Database {name} is the one to connect to meanwhile; it can't be the store's own"
        )
    url = engine.url.set(database=maintenance)
    # A database is created and dropped outside of transactions.
    beside = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with beside.connect() as connection:
            yield connection, name
    finally:
        beside.dispose()
