"""The transaction that the store's history is run in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from sqlalchemy import Connection, Engine, func, select

from mdb_sqla.database.error_translation import translated
from mdb_sqla.database.execution import check_driver
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.migrations.sql_files import SAFE_SEARCH_PATH

__all__ = ["store_transaction"]


@contextmanager
def store_transaction(bind: Engine | Connection, schema: str) -> Iterator[Connection]:
    """Have one transaction at a time in the block for a schema, and all of it or nothing.

    A connection that is in a transaction already stays in that.

    Raises:
        InvalidArgument: it is no engine or connection, or is one that has no transactions.
    """
    with ExitStack() as stack:
        stack.enter_context(translated())
        if isinstance(bind, Engine | Connection):
            check_driver(bind.dialect)
        if isinstance(bind, Engine):
            connection = stack.enter_context(_connected(bind))
            # Whatever the engine's own is: AUTOCOMMIT would leave a half-made store behind.
            connection = connection.execution_options(isolation_level="READ COMMITTED")
        elif isinstance(bind, Connection):
            connection = bind
        else:
            raise InvalidArgument(
                f"A migration needs an Engine or a Connection: {bind!r}. In an async application: "
                "await connection.run_sync(migrations.upgrade)"
            )
        if not connection.in_transaction():
            stack.enter_context(connection.begin())
        if getattr(connection.connection.dbapi_connection, "autocommit", False):
            raise InvalidArgument("A migration needs a transaction; the connection is AUTOCOMMIT")
        # Functions and operators that others have created in the schema `public` must not be run by
        # this role, often the most powerful one. An error restores the search path as well.
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
            "The client encoding of the connection is SQL_ASCII, so that psycopg returns bytes "
            "where SQLAlchemy needs text. A store needs a database with ENCODING 'UTF8'; connect "
            "to one with connect_args={'client_encoding': 'utf8'}"
        ) from error
