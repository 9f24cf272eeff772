"""The history of the store by itself: which revisions it has, and running them.

Its version table, `mdb_sqla_version`, is in the schema of the store.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TextIO

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, Table, func, inspect, select

from mdb_sqla.database.execution import quoted
from mdb_sqla.errors import InvalidArgument, StoreNotInstalled
from mdb_sqla.migrations import revision_support
from mdb_sqla.migrations.sql_files import execute, statement
from mdb_sqla.words.argument_checks import described
from mdb_sqla.words.lock_granularity import LockGranularity

__all__ = [
    "LATEST",
    "VERSION_TABLE",
    "check_version",
    "downgrade",
    "upgrade",
    "write_downgrade",
    "write_upgrade",
]

VERSION_TABLE = "mdb_sqla_version"
LATEST = "0001"
"""The newest version of the store's schema that this release of the package has."""

_STORE = "message_store_"
_ROLES = "message_store_role_"
_FIRST = "message_store_0001"

_Steps = Callable[[ScriptDirectory, Any], Any]


def check_version(version: object, *targets: str) -> None:
    """Check what an application's revision asks for.

    Raises:
        InvalidArgument: it is none of the targets.
    """
    if version not in targets:
        raise InvalidArgument(
            f"The version of the store's schema must be {' or '.join(map(repr, targets))} in this "
            f"release of mdb_sqla: {described(version)}"
        )


def upgrade(
    connection: Connection,
    schema: str,
    *,
    version: str = LATEST,
    roles: bool = False,
    lock_granularity: LockGranularity | None = None,
    take_over: bool = False,
) -> list[str]:
    """Bring the store to a version; return the ids of the revisions that were run.

    Args:
        connection: in a transaction.
        schema: of the store; it is created if need be.
        version: one that it has already, or is ahead of, changes nothing.
        roles: whether to create the roles, too.
        lock_granularity: what writers lock in a new store; None for the default.
        take_over: whether a store that another history manages becomes this one's.
    """
    execute(connection, statement(_FIRST, "steps/schema", schema))
    execute(connection, statement(_FIRST, "steps/refuse_renamed", schema))
    has_table = inspect(connection).has_table(VERSION_TABLE, schema)
    # The rows of the table are missing where the store was restored from a dump of the schema.
    recorded = _recorded_version(connection, schema) if take_over or has_table else None
    return _run(
        _upgrade_steps(version, roles),
        schema,
        connection=connection,
        stamp=recorded,
        lock_granularity=lock_granularity,
    )


def downgrade(
    connection: Connection, schema: str, *, may_delete: frozenset[str] = frozenset()
) -> list[str]:
    """Remove the store; return the ids of the revisions that were taken back.

    Args:
        connection: in a transaction.
        schema: of the store; it goes if the upgrade created it, and nothing else is in it.
        may_delete: what may be deleted, of `revision_support.DELETABLE`.
    """
    if not inspect(connection).has_table(VERSION_TABLE, schema):
        raise StoreNotInstalled(f"There is no store in schema {schema!r} that upgrade installed")
    done = _run(_downgrade_steps, schema, connection=connection, may_delete=may_delete)
    Table(VERSION_TABLE, MetaData(), schema=schema).drop(connection)
    execute(connection, statement(_FIRST, "steps/drop_schema", schema))
    return done


def write_upgrade(
    output: TextIO,
    schema: str,
    *,
    version: str = LATEST,
    roles: bool = False,
    lock_granularity: LockGranularity | None = None,
    in_transaction: bool = True,
) -> None:
    """Write what `upgrade` does to a database without a store of its own as a script for psql.

    Args:
        output: the script.
        schema: of the store.
        version: to install.
        roles: whether to create the roles, too.
        lock_granularity: what writers lock in a new store; None for the default.
        in_transaction: False where what is around it in the script begins and commits one.
    """
    output.write(statement(_FIRST, "steps/schema", schema))
    _run(
        _upgrade_steps(version, roles),
        schema,
        output_buffer=output,
        lock_granularity=lock_granularity,
        transactional_ddl=in_transaction,
    )


def write_downgrade(
    output: TextIO,
    schema: str,
    *,
    roles: bool = False,
    may_delete: frozenset[str] = frozenset(),
) -> None:
    """Write what `downgrade` does to the latest version as part of a script for psql."""
    at = [f"{_STORE}{LATEST}", *([f"{_ROLES}{LATEST}"] if roles else [])]
    _run(
        _downgrade_steps,
        schema,
        output_buffer=output,
        may_delete=may_delete,
        starting_rev=at,
        transactional_ddl=False,
    )
    output.write(f"DROP TABLE {quoted(schema)}.{VERSION_TABLE};\n\n")
    output.write(statement(_FIRST, "steps/drop_schema", schema))


def _upgrade_steps(version: str, roles: bool) -> _Steps:
    def steps(script: ScriptDirectory, current: Any) -> Any:
        has_roles = any(revision.startswith(_ROLES) for revision in current)
        heads = tuple(current)
        for branch in (_STORE, _ROLES) if roles or has_roles else (_STORE,):
            target = f"{branch}{version}"
            # To Alembic, a target that the store is ahead of would be an error.
            if target not in _done(script, heads):
                yield from script._upgrade_revs(target, heads)  # type: ignore[arg-type]
                heads = (*heads, target)

    return steps


def _done(script: ScriptDirectory, heads: tuple[str, ...]) -> set[str]:
    revisions = script.revision_map
    done = revisions._get_ancestor_nodes(revisions.get_revisions(heads), include_dependencies=True)
    return {revision.revision for revision in done}


def _downgrade_steps(script: ScriptDirectory, current: Any) -> Any:
    return script._downgrade_revs("base", current)


def _recorded_version(connection: Connection, schema: str) -> str | None:
    """Return the version in the comment on the table, which does not depend on a history."""
    name = f"{quoted(schema)}.messages"
    comment = connection.scalar(select(func.obj_description(func.to_regclass(name), "pg_class")))
    match = re.fullmatch(r"Messages, managed by mdb_sqla: version (\d{4})", comment or "")
    return match[1] if match else None


def _run(
    steps: _Steps,
    schema: str,
    *,
    connection: Connection | None = None,
    output_buffer: TextIO | None = None,
    stamp: str | None = None,
    lock_granularity: LockGranularity | None = None,
    may_delete: frozenset[str] = frozenset(),
    **options: Any,
) -> list[str]:
    # Alembic's `op` and `context` belong to the whole process, and two threads may migrate two
    # databases: hence a context of our own, and no environment.
    config = Config()
    config.set_main_option("script_location", "mdb_sqla.versions:")
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "mdb_sqla.versions:\nmdb_sqla.versions.role:")
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
        context.stamp(script, f"{_STORE}{stamp}")
    migration = revision_support.Migration(context, schema, lock_granularity, may_delete)
    with revision_support.running(migration), context.begin_transaction():
        context.run_migrations()
    return done
