"""The store's own migration history, independent of an application's.

Its version table, `mdb_sqla_version`, is in the schema of the store.
"""

from __future__ import annotations

import re
from typing import Any, TextIO

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, Table, func, inspect, select

from mdb_sqla.database.execution import quoted
from mdb_sqla.errors import InvalidArgument, StoreNotInstalled
from mdb_sqla.migrations import revision_support
from mdb_sqla.migrations.sql_files import execute, statement
from mdb_sqla.migrations.version_steps import (
    FIRST_ON_CITUS,
    LATEST,
    ROLES,
    STORE,
    VERSIONS,
    Steps,
    downgrade_steps,
    upgrade_steps,
)
from mdb_sqla.words.argument_checks import described
from mdb_sqla.words.lock_granularity import LockGranularity

__all__ = [
    "FIRST_ON_CITUS",
    "LATEST",
    "VERSIONS",
    "VERSION_TABLE",
    "check_version",
    "downgrade",
    "upgrade",
    "write_downgrade",
    "write_upgrade",
]

VERSION_TABLE = "mdb_sqla_version"
"""The version table of the store's own migration history, in the schema of the store."""

_FIRST = "message_store_0001"
_LOCATIONS = ("mdb_sqla.versions:", "mdb_sqla.versions.role:", "mdb_sqla.versions.citus:")


def check_version(version: object, *targets: str) -> None:
    """Check the version that an application's revision passes.

    Raises:
        InvalidArgument: the version is not one of the targets.
    """
    if version not in targets:
        raise InvalidArgument(
            f"version must be {' or '.join(map(repr, targets))} in this release of mdb_sqla, got "
            f"{described(version)}"
        )


def upgrade(
    connection: Connection,
    schema: str,
    *,
    version: str = LATEST,
    roles: bool = False,
    citus: bool = False,
    lock_granularity: LockGranularity | None = None,
    take_over: bool = False,
) -> list[str]:
    """Upgrade the store to a version, and return the ids of the revisions that were run.

    Args:
        connection: a connection in a transaction.
        schema: the schema of the store, which is created if it does not exist.
        version: the version; a store that has it, or a later one, is left unchanged.
        roles: whether to create the roles too.
        citus: whether to distribute the store.
        lock_granularity: what writers lock in a new store; None for the default.
        take_over: whether to take over a store that another migration history manages.
    """
    execute(connection, statement(_FIRST, "steps/schema", schema))
    execute(connection, statement(_FIRST, "steps/refuse_renamed", schema))
    has_table = inspect(connection).has_table(VERSION_TABLE, schema)
    # The table has no rows if the store was restored from a schema-only dump.
    recorded = _recorded_version(connection, schema) if take_over or has_table else None
    return _run(
        upgrade_steps(version, roles, citus),
        schema,
        connection=connection,
        stamp=recorded,
        lock_granularity=lock_granularity,
    )


def downgrade(
    connection: Connection,
    schema: str,
    *,
    version: str = "base",
    may_delete: frozenset[str] = frozenset(),
) -> list[str]:
    """Remove the store, or revert it to a version; return the revisions that were reverted.

    Args:
        connection: a connection in a transaction.
        schema: the schema of the store, which is dropped with the store if the upgrade created it
            and it contains nothing else.
        version: the version, or `"base"`; a store that has it already is left unchanged.
        may_delete: the elements of `revision_support.DELETABLE` that may be deleted.

    Raises:
        StoreNotInstalled: the schema has no store that `upgrade` installed.
    """
    if not inspect(connection).has_table(VERSION_TABLE, schema):
        raise StoreNotInstalled(f"There is no store in schema {schema!r} installed by upgrade")
    done = _run(downgrade_steps(version), schema, connection=connection, may_delete=may_delete)
    if version == "base":
        Table(VERSION_TABLE, MetaData(), schema=schema).drop(connection)
        execute(connection, statement(_FIRST, "steps/drop_schema", schema))
    return done


def write_upgrade(
    output: TextIO,
    schema: str,
    *,
    version: str = LATEST,
    roles: bool = False,
    citus: bool = False,
    lock_granularity: LockGranularity | None = None,
    in_transaction: bool = True,
) -> None:
    """Write a psql script that does what `upgrade` does where it has not installed a store yet.

    Args:
        output: the script.
        schema: the schema of the store.
        version: the version to install.
        roles: whether to create the roles too.
        citus: whether to distribute the store.
        lock_granularity: what writers lock in a new store; None for the default.
        in_transaction: whether to begin and commit a transaction; False if the surrounding script
            does.
    """
    output.write(statement(_FIRST, "steps/schema", schema))
    _run(
        upgrade_steps(version, roles, citus),
        schema,
        output_buffer=output,
        lock_granularity=lock_granularity,
        transactional_ddl=in_transaction,
    )


def write_downgrade(
    output: TextIO,
    schema: str,
    *,
    version: str = "base",
    start: str = LATEST,
    roles: bool = False,
    may_delete: frozenset[str] = frozenset(),
) -> None:
    """Write the part of a psql script that does what `downgrade` does to the version `start`."""
    at = [f"{STORE}{start}", *([f"{ROLES}{start}"] if roles else [])]
    _run(
        downgrade_steps(version),
        schema,
        output_buffer=output,
        may_delete=may_delete,
        starting_rev=at,
        transactional_ddl=False,
    )
    if version == "base":
        output.write(f"DROP TABLE {quoted(schema)}.{VERSION_TABLE};\n\n")
        output.write(statement(_FIRST, "steps/drop_schema", schema))


def _recorded_version(connection: Connection, schema: str) -> str | None:
    """Return the version in the comment on the table, which is independent of any history."""
    name = f"{quoted(schema)}.messages"
    comment = connection.scalar(select(func.obj_description(func.to_regclass(name), "pg_class")))
    match = re.fullmatch(r"Messages, managed by mdb_sqla: version (\d{4})", comment or "")
    return match[1] if match else None


def _run(
    steps: Steps,
    schema: str,
    *,
    connection: Connection | None = None,
    output_buffer: TextIO | None = None,
    stamp: str | None = None,
    lock_granularity: LockGranularity | None = None,
    may_delete: frozenset[str] = frozenset(),
    **options: Any,
) -> list[str]:
    # Alembic's `op` and `context` are shared by the whole process, but two threads may migrate two
    # databases. So use a separate context and no environment.
    config = Config()
    config.set_main_option("script_location", "mdb_sqla.versions:")
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join(_LOCATIONS))
    script = ScriptDirectory.from_config(config)
    done: list[str] = []
    context = MigrationContext.configure(
        connection,
        dialect_name="postgresql",
        dialect_opts={"paramstyle": "named"},
        opts={
            "fn": lambda current, _context: steps(script, current),
            "as_sql": connection is None,
            "output_buffer": output_buffer,
            "version_table": VERSION_TABLE,
            "version_table_schema": schema,
            "on_version_apply": (lambda *, step, **_: done.extend(step.up_revision_ids),),
            "script": script,
            **options,
        },
    )
    if stamp is not None and not context.get_current_heads():
        context.stamp(script, f"{STORE}{stamp}")
    migration = revision_support.Migration(context, schema, lock_granularity, may_delete)
    with revision_support.running(migration), context.begin_transaction():
        context.run_migrations()
    return done
