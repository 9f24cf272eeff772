"""Install, upgrade and remove the store where the application has no Alembic history of its own.

The version table of this history, `mdb_sqla_version`, is in the schema of the store. An application
that has a history composes the revisions with it instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TextIO

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, MetaData, Table, func, inspect, select

from mdb_sqla.database.execution import check_driver
from mdb_sqla.database.server_errors import translated
from mdb_sqla.errors import InvalidArgument, StoreNotInstalled
from mdb_sqla.migrations import revision_support

__all__ = ["VERSION_TABLE", "downgrade", "upgrade", "write_upgrade_script"]

VERSION_TABLE = "mdb_sqla_version"

_FIRST_REVISION = "message_store_0001"
_ROLE_REVISIONS = "message_store_role"


def upgrade(
    bind: Engine | Connection, *, schema: str = revision_support.DEFAULT_SCHEMA, role: bool = False
) -> list[str]:
    """Bring the store up to date: install it, or adopt one that Message DB 1.2 or 1.3 installed.

    It is one transaction; on a connection that is in one already it becomes part of that. Several
    processes may do it at once: the others wait for the first and find nothing left to do.

    Args:
        bind: an engine or a connection; in an async application
            `await connection.run_sync(migrations.upgrade)`.
        schema: the schema of the store; it is created if need be.
        role: also create the roles `message_store`, for clients of Message DB in other languages,
            and `message_store_reader`, `_writer` and `_consumer`, for applications; those that
            exist are granted what they need.

    Returns:
        The ids of the revisions that were run, in order; none if the store was up to date.

    Raises:
        UnrecognizedStore: there is something else in the schema, its name was changed, or the
            encoding of the database is SQL_ASCII; nothing was changed.
        NotPermitted: the role may not install or upgrade a store here.
        InvalidSchemaName: the name of the schema can't be one.
    """
    schema = revision_support.checked_schema(schema)
    create_schema = revision_support.statement(_FIRST_REVISION, "schema", schema)
    with translated(), _transaction(bind, schema) as connection:
        revision_support.execute(connection, create_schema)
        checks = ["refuse_renamed"]
        if inspect(connection).has_table(VERSION_TABLE, schema):
            checks.append("record_restored")
        for name in checks:
            revision_support.execute(
                connection, revision_support.statement(_FIRST_REVISION, name, schema)
            )
        return _run(_upgrade_steps(role), schema, connection=connection)


def downgrade(
    bind: Engine | Connection,
    *,
    schema: str = revision_support.DEFAULT_SCHEMA,
    delete_messages: bool = False,
    delete_consumers: bool = False,
) -> list[str]:
    """Remove the store, and its schema if the upgrade created it and nothing else is in it.

    Args:
        bind: an engine or a connection, as for `upgrade`.
        schema: the schema of the store.
        delete_messages: whether messages may be deleted with it.
        delete_consumers: whether what consumers have stored may be: their positions, members, dead
            letters and registrations.

    Returns:
        The ids of the revisions that were taken back, in order.

    Raises:
        DataExists: there is something that may not be deleted; nothing was changed.
        StoreNotInstalled: the schema has no store that `upgrade` installed.
    """
    schema = revision_support.checked_schema(schema)
    drop_schema = revision_support.statement(_FIRST_REVISION, "drop_schema", schema)
    with translated(), _transaction(bind, schema) as connection:
        version_table = Table(VERSION_TABLE, MetaData(), schema=schema)
        if not inspect(connection).has_table(VERSION_TABLE, schema):
            raise StoreNotInstalled(
                f"There is no store in schema {schema!r} that upgrade installed"
            )
        may = {"messages": delete_messages, "consumers": delete_consumers}
        may_delete = frozenset(kind for kind in revision_support.DELETABLE if may[kind])
        done = _run(_downgrade_steps, schema, may_delete=may_delete, connection=connection)
        version_table.drop(connection)
        revision_support.execute(connection, drop_schema)
        return done


def write_upgrade_script(
    output: TextIO, *, schema: str = revision_support.DEFAULT_SCHEMA, role: bool = False
) -> None:
    """Write what `upgrade` does to a database without a store of its own as a script for psql."""
    schema = revision_support.checked_schema(schema)
    output.write(revision_support.statement(_FIRST_REVISION, "schema", schema))
    _run(_upgrade_steps(role), schema, output_buffer=output)


_Steps = Callable[[ScriptDirectory, Any], Any]


def _upgrade_steps(role: bool) -> _Steps:
    def steps(script: ScriptDirectory, current: Any) -> Any:
        has_role = any(revision.startswith(_ROLE_REVISIONS) for revision in current)
        target = "heads" if role or has_role else "message_store@head"
        return script._upgrade_revs(target, current)

    return steps


def _downgrade_steps(script: ScriptDirectory, current: Any) -> Any:
    return script._downgrade_revs("base", current)


def _run(
    steps: _Steps,
    schema: str,
    *,
    may_delete: frozenset[str] = frozenset(),
    connection: Connection | None = None,
    output_buffer: TextIO | None = None,
) -> list[str]:
    # Alembic's `op` and `context` belong to the whole process, and two threads may migrate two
    # databases: hence a context of our own, and no environment.
    config = Config()
    config.set_main_option("script_location", "mdb_sqla.versions:")
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "mdb_sqla.versions:\nmdb_sqla.versions.role:")
    script = ScriptDirectory.from_config(config)
    done: list[str] = []
    options = {
        "fn": lambda current, _context: steps(script, current),
        "as_sql": connection is None,
        "output_buffer": output_buffer,
        "version_table": VERSION_TABLE,
        "version_table_schema": schema,
        "on_version_apply": (lambda *, step, **_: done.extend(step.up_revision_ids),),
        "script": script,
    }
    context = MigrationContext.configure(
        connection, dialect_name="postgresql", dialect_opts={"paramstyle": "named"}, opts=options
    )
    with (
        revision_support.running(revision_support.Migration(context, schema, may_delete)),
        context.begin_transaction(),
    ):
        context.run_migrations()
    return done


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


@contextmanager
def _transaction(bind: Engine | Connection, schema: str) -> Iterator[Connection]:
    with ExitStack() as stack:
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
        # Whoever may create functions and operators in the schema `public` is not to have them run
        # by this, often the most powerful role. An error takes the search path back as well.
        with connection.begin_nested():
            path = connection.scalar(select(func.pg_catalog.current_setting("search_path")))
            safe = func.pg_catalog.set_config(
                "search_path", revision_support.SAFE_SEARCH_PATH, True
            )
            connection.execute(select(safe))
            key = func.hashtextextended(f"mdb_sqla:{schema}", 0)
            connection.execute(select(func.pg_advisory_xact_lock(key)))
            yield connection
            connection.execute(select(func.set_config("search_path", path, True)))
