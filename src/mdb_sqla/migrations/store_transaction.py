"""The transaction in which revisions of the store run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from sqlalchemy import Connection, Engine, func, select

from mdb_sqla.database.error_translation import translated
from mdb_sqla.database.execution import check_driver
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.migrations.sql_files import SAFE_SEARCH_PATH
from mdb_sqla.words.argument_checks import described

__all__ = ["store_transaction"]


@contextmanager
def store_transaction(bind: Engine | Connection, schema: str) -> Iterator[Connection]:
    """Run the block in a transaction, all or nothing, and one at a time for each schema.

    If the connection is already in a transaction, the block becomes part of it.

    Raises:
        InvalidArgument: the argument is not an engine or connection, or has no transactions.
    """
    with ExitStack() as stack:
        stack.enter_context(translated())
        if isinstance(bind, Engine | Connection):
            check_driver(bind.dialect)
        if isinstance(bind, Engine):
            connection = stack.enter_context(_connected(bind))
            # Overrides the engine's level: AUTOCOMMIT would leave an incomplete store behind.
            connection = connection.execution_options(isolation_level="READ COMMITTED")
        elif isinstance(bind, Connection):
            connection = bind
        else:
            raise InvalidArgument(
                f"target must be an Engine or a Connection, got {described(bind)}; in an async "
                "application, use await connection.run_sync(migrations.upgrade)"
            )
        if not connection.in_transaction():
            stack.enter_context(connection.begin())
        if getattr(connection.connection.dbapi_connection, "autocommit", False):
            raise InvalidArgument(
                "A migration requires a transaction; the connection is AUTOCOMMIT"
            )
        # This role, often a powerful one, must not run functions and operators that other roles
        # have created in the schema `public`. An error also restores the search path.
        with connection.begin_nested():
            path = connection.scalar(select(func.pg_catalog.current_setting("search_path")))
            safe = func.pg_catalog.set_config("search_path", SAFE_SEARCH_PATH, True)
            connection.execute(select(safe))
            key = func.hashtextextended(f"mdb_sqla:{schema}", 0)
            connection.execute(select(func.pg_advisory_xact_lock(key)))
            yield connection
            connection.execute(select(func.set_config("search_path", path, True)))


def _connected(engine: Engine) -> Connection:
    try:
        return engine.connect()
    except TypeError as error:
        if "bytes-like" not in str(error):
            raise
        raise InvalidArgument(
            "The client encoding of the connection is SQL_ASCII, so psycopg returns bytes where "
            "SQLAlchemy needs text. A store requires a database with ENCODING 'UTF8'; connect to "
            "it with connect_args={'client_encoding': 'utf8'}"
        ) from error
