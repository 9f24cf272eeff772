"""Creation and deletion of databases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, Text, cast, column, create_engine, select, table
from sqlalchemy.exc import DBAPIError

from mdb_sqla.database.error_fields import sqlstate_of
from mdb_sqla.database.execution import ddl, quoted
from mdb_sqla.errors import InvalidArgument, StoreBusy
from mdb_sqla.words.argument_checks import instance

__all__ = ["MAINTENANCE", "create_database", "delete_database"]

MAINTENANCE = "postgres"
"""The database to connect to for CREATE DATABASE and DROP DATABASE."""

_EXISTS = "42P04"
_MISSING = "3D000"
_IN_USE = "55006"

_databases = table("pg_database", column("datname"), schema="pg_catalog")


def create_database(engine: Engine, *, maintenance: str = MAINTENANCE) -> bool:
    """Create the engine's database, without a store; return False if the database already exists.

    Args:
        engine: an engine whose URL names the database.
        maintenance: the database to connect to.

    Raises:
        InvalidArgument: the URL names no database, or names the maintenance database.
        DBAPIError: the server rejects the command, for example because the role may not create
            databases.
    """
    with _maintenance_connection(engine, maintenance) as (connection, name):
        # Compared as text: another role could define an operator for `name` and `varchar`.
        exists = cast(_databases.c.datname, Text) == cast(name, Text)
        if connection.scalar(select(_databases).where(exists)) is not None:
            return False
        try:
            connection.execute(ddl("CREATE DATABASE %(name)s", name=quoted(name)))
        except DBAPIError as error:
            # Another process may have created it.
            if sqlstate_of(error) != _EXISTS:
                raise
            return False
        return True


def delete_database(engine: Engine, *, force: bool = False, maintenance: str = MAINTENANCE) -> bool:
    """Drop the engine's database with everything in it; return False if it does not exist.

    Roles are kept, because other databases may use them.

    Args:
        engine: an engine whose URL names the database. Close its connections first.
        force: whether to terminate other connections to the database.
        maintenance: the database to connect to.

    Raises:
        StoreBusy: there are other connections to the database, and `force` is False.
        InvalidArgument: the URL names no database, or names the maintenance database.
        DBAPIError: the server rejects the command, for example because the role does not own the
            database.
    """
    with _maintenance_connection(engine, maintenance) as (connection, name):
        option = " WITH (FORCE)" if force else ""
        try:
            connection.execute(ddl(f"DROP DATABASE %(name)s{option}", name=quoted(name)))
        except DBAPIError as error:
            if sqlstate_of(error) == _MISSING:
                return False
            if sqlstate_of(error) == _IN_USE:
                raise StoreBusy(
                    f"Database {name} was not deleted: there are other connections to it. Close "
                    "them, or terminate them with --force (force=True)"
                ) from error
            raise
        return True


@contextmanager
def _maintenance_connection(engine: Engine, maintenance: str) -> Iterator[tuple[Connection, str]]:
    name = instance("engine", engine, Engine).url.database
    if not name:
        raise InvalidArgument(
            "The URL has no database name: pass one such as postgresql://host/database"
        )
    if name == maintenance:
        raise InvalidArgument(
            f"Database {name} is the maintenance database: it can't be created or deleted from "
            "within; choose another maintenance database"
        )
    url = engine.url.set(database=maintenance)
    # CREATE and DROP DATABASE can't run in a transaction.
    maintenance_engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with maintenance_engine.connect() as connection:
            yield connection, name
    finally:
        maintenance_engine.dispose()
