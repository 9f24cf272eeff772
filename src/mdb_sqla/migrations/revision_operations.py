"""Installs, upgrades and removes the store from within an application's revision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TextIO, cast
from weakref import WeakKeyDictionary

from alembic.runtime.migration import MigrationContext
from sqlalchemy import MetaData, delete

from mdb_sqla.database.error_translation import translated
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.migrations import revision_support, store_history
from mdb_sqla.migrations.revision_support import Migration, command_error
from mdb_sqla.migrations.sql_files import checked_schema
from mdb_sqla.migrations.store_transaction import store_transaction
from mdb_sqla.retention.policy import checked_policy, upsert
from mdb_sqla.tables import retention_policies
from mdb_sqla.words.lock_granularity import LockGranularity
from mdb_sqla.words.stream_name import category_name

__all__ = ["delete_retention_policy", "downgrade", "set_retention_policy", "upgrade"]

# The versions that a script has reverted stores to, by schema: it may contain several revisions.
_reverted: WeakKeyDictionary[MigrationContext, dict[str, str]] = WeakKeyDictionary()


def upgrade(
    version: str,
    schema: str | None,
    roles: bool,
    citus: bool,
    lock_granularity: LockGranularity | str | None,
) -> list[str]:
    """Upgrade the store to a version. See `migrations.upgrade`."""
    with _running_migration(schema) as migration:
        store_history.check_version(version, *store_history.VERSIONS)
        if citus and version < store_history.FIRST_ON_CITUS:
            raise InvalidArgument(
                f"citus requires version {store_history.FIRST_ON_CITUS} or later, got {version}"
            )
        if lock_granularity is None:
            granularity = migration.lock_granularity
        else:
            granularity = LockGranularity(lock_granularity)
        options: Any = {
            "version": version,
            "roles": roles,
            "citus": citus,
            "lock_granularity": granularity,
        }
        bind = migration.context.connection
        if migration.context.as_sql or bind is None:
            # The application's script begins and commits the transaction.
            script = _script_of(migration)
            store_history.write_upgrade(*script, **options, in_transaction=False)
            return []
        with store_transaction(bind, migration.schema) as connection:
            return store_history.upgrade(connection, migration.schema, **options, take_over=True)


def downgrade(
    version: str, schema: str | None, roles: bool, may_delete: frozenset[str]
) -> list[str]:
    """Remove the store, or revert it to a version. See `migrations.downgrade`."""
    with _running_migration(schema) as migration:
        store_history.check_version(version, "base", *store_history.VERSIONS[:-1])
        options: Any = {"version": version, "may_delete": may_delete | migration.may_delete}
        bind = migration.context.connection
        if migration.context.as_sql or bind is None:
            script = _script_of(migration)
            reverted = _reverted.setdefault(migration.context, {})
            start = reverted.get(migration.schema, store_history.LATEST)
            store_history.write_downgrade(*script, **options, start=start, roles=roles)
            # A later version, or "base", which nothing follows, changes nothing here.
            reverted[migration.schema] = min(start, version)
            return []
        with store_transaction(bind, migration.schema) as connection:
            return store_history.downgrade(connection, migration.schema, **options)


def set_retention_policy(
    category: str,
    *,
    keep_age: timedelta | None = None,
    keep_last: int | None = None,
    keep_versions: bool = True,
    archive: str | None = None,
    archive_format: str = "jsonl",
    schema: str | None = None,
) -> None:
    """Set the retention policy of a category in an Alembic revision of your application.

    It replaces an earlier policy of the category, including its archive.

    The revision must run after one that upgrades the store to version 0002. Also works in the
    script that `--sql` writes.

    Args:
        category: the category.
        keep_age: see `retention.RetentionPolicy`.
        keep_last: see `retention.RetentionPolicy`.
        keep_versions: see `retention.RetentionPolicy`.
        archive: see `retention.RetentionPolicy`.
        archive_format: see `retention.RetentionPolicy`.
        schema: the schema of the store; None means the Alembic option `message_store_schema`, or
            `message_store`.

    Raises:
        CommandError: an argument is invalid, or the store is not up to date.
    """
    with _running_migration(schema) as migration:
        policy = checked_policy(
            category, keep_age, keep_last, keep_versions, archive, archive_format
        )
        table = retention_policies.to_metadata(MetaData(), schema=migration.schema)
        with translated():
            migration.context.impl.execute(upsert(policy, table))


def delete_retention_policy(category: str, *, schema: str | None = None) -> None:
    """Delete the retention policy of a category in an Alembic revision of your application.

    Args:
        category: the category; nothing happens if it has no policy.
        schema: see `set_retention_policy`.

    Raises:
        CommandError: an argument is invalid, or the store is not up to date.
    """
    with _running_migration(schema) as migration:
        table = retention_policies.to_metadata(MetaData(), schema=migration.schema)
        statement = delete(table).where(table.c.category == category_name(category))
        with translated():
            migration.context.impl.execute(statement)


@contextmanager
def _running_migration(schema: str | None) -> Iterator[Migration]:
    """Yield the application's migration, and convert errors to those of Alembic's command."""
    try:
        configured = revision_support.configured()
    except (AttributeError, NameError):  # the latter before the first migration of the process
        configured = None
    # After a failed command, Alembic leaves its context behind. The context of a script has no
    # connection that could be closed.
    if configured is None or getattr(configured.context.connection, "closed", False):
        raise InvalidArgument(
            "Only an Alembic revision of your application can pass a version; anywhere else, pass "
            "an engine or a connection"
        )
    with command_error():
        name = configured.schema if schema is None else schema
        yield configured._replace(schema=checked_schema(name))


def _script_of(migration: Migration) -> tuple[TextIO, str]:
    return cast("TextIO", migration.context.impl.output_buffer), migration.schema
