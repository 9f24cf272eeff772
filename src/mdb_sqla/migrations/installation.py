"""Install, upgrade and remove the store: on a database, or within a revision of an application."""

from __future__ import annotations

from typing import TextIO, overload

from sqlalchemy import Connection, Engine

from mdb_sqla.errors import InvalidArgument
from mdb_sqla.migrations import application_revision, store_history
from mdb_sqla.migrations.revision_support import DELETABLE
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA, checked_schema
from mdb_sqla.migrations.store_transaction import store_transaction
from mdb_sqla.words.lock_granularity import LockGranularity

__all__ = ["downgrade", "upgrade", "write_upgrade_script"]


@overload
def upgrade(
    version: str,
    /,
    *,
    schema: str | None = None,
    roles: bool = False,
    lock_granularity: LockGranularity | str | None = None,
) -> list[str]: ...
@overload
def upgrade(
    bind: Engine | Connection,
    /,
    *,
    schema: str | None = None,
    roles: bool = False,
    lock_granularity: LockGranularity | str | None = None,
) -> list[str]: ...
def upgrade(
    target: str | Engine | Connection,
    /,
    *,
    schema: str | None = None,
    roles: bool = False,
    lock_granularity: LockGranularity | str | None = None,
) -> list[str]:
    """Install the store, adopt one that Message DB 1.2 or 1.3 installed, or upgrade it.

    In a revision of your own, name a version: `migrations.upgrade("0001")`. It becomes part of the
    transaction that Alembic runs the revision in, or of the script of `--sql`. A store that has the
    version already, or a later one, is left unchanged, no matter what installed it.

    Anywhere else, pass an engine or a connection; the store gets the latest version, in one
    transaction. On a connection that is in one already it becomes part of that. Several processes
    may do it at once: the others wait for the first and find nothing left to do.

    Args:
        target: a version of the store's schema, or an engine or a connection; in an async
            application `await connection.run_sync(migrations.upgrade)`.
        schema: the schema of the store; it is created if need be. None stands for
            `message_store`, and in a revision for Alembic's option `message_store_schema`.
        roles: also create the roles `message_store`, for clients of Message DB in other languages,
            and `message_store_reader`, `_writer` and `_consumer`, for applications; those that
            exist are granted what they need.
        lock_granularity: what writers lock in a new store, `stream` or `category`; None is
            `stream`. In a revision, `alembic -x lock_granularity=...` is another way to pass it. An
            adopted store keeps `category` until `admin.set_lock_granularity` changes it.

    Returns:
        The ids of the store's revisions that were run, in order; none if it was up to date, or for
        a script.

    Raises:
        UnrecognizedStore: there is something else in the schema, its name was changed, another
            history manages the store, or the encoding of the database is SQL_ASCII; nothing was
            changed.
        NotPermitted: the role may not install or upgrade a store here.
        InvalidSchemaName: the name of the schema is invalid.
        InvalidArgument: this release has no such version, or another argument is invalid.
        CommandError: any of these, in a revision; Alembic prints it without a traceback.
    """
    if isinstance(target, str):
        return application_revision.upgrade(target, schema, roles, lock_granularity)
    granularity = None if lock_granularity is None else LockGranularity(lock_granularity)
    schema = _schema(schema)
    with store_transaction(target, schema) as connection:
        return store_history.upgrade(connection, schema, roles=roles, lock_granularity=granularity)


@overload
def downgrade(
    version: str,
    /,
    *,
    schema: str | None = None,
    delete_messages: bool = False,
    delete_consumers: bool = False,
    roles: bool = False,
) -> list[str]: ...
@overload
def downgrade(
    bind: Engine | Connection,
    /,
    *,
    schema: str | None = None,
    delete_messages: bool = False,
    delete_consumers: bool = False,
) -> list[str]: ...
def downgrade(
    target: str | Engine | Connection,
    /,
    *,
    schema: str | None = None,
    delete_messages: bool = False,
    delete_consumers: bool = False,
    roles: bool = False,
) -> list[str]:
    """Remove the store, and its schema if the upgrade created it and nothing else is in it.

    Args:
        target: `"base"` in a revision of your own; anywhere else, an engine or a connection.
        schema: the schema of the store, as for `upgrade`.
        delete_messages: whether messages may be deleted with it; in a revision,
            `alembic -x delete_messages=yes downgrade ...` is another way to say so.
        delete_consumers: whether what consumers have stored may be: their positions, members, dead
            letters and registrations.
        roles: whether `upgrade` was called with it. Only the script of `--sql` needs this, which
            can't look it up.

    Returns:
        The ids of the store's revisions that were taken back, in order; none for a script.

    Raises:
        DataExists: there is something that may not be deleted; nothing was changed.
        StoreNotInstalled: the schema has no store that `upgrade` installed.
        CommandError: any of these, in a revision; Alembic prints it without a traceback.
    """
    may = {"messages": delete_messages, "consumers": delete_consumers}
    may_delete = frozenset(kind for kind in DELETABLE if may[kind])
    if isinstance(target, str):
        return application_revision.downgrade(target, schema, roles, may_delete)
    if roles:
        raise InvalidArgument("roles is for a revision's script; a database has it recorded")
    schema = _schema(schema)
    with store_transaction(target, schema) as connection:
        return store_history.downgrade(connection, schema, may_delete=may_delete)


def write_upgrade_script(
    output: TextIO,
    *,
    schema: str | None = None,
    roles: bool = False,
    lock_granularity: LockGranularity | str | None = None,
) -> None:
    """Write what `upgrade` does to a database without a store of its own as a script for psql."""
    granularity = None if lock_granularity is None else LockGranularity(lock_granularity)
    store_history.write_upgrade(output, _schema(schema), roles=roles, lock_granularity=granularity)


def _schema(name: str | None) -> str:
    return checked_schema(DEFAULT_SCHEMA if name is None else name)
