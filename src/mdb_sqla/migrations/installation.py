"""Install, upgrade and remove the store: in a database, or within an application's revision."""

from __future__ import annotations

from typing import TextIO, overload

from sqlalchemy import Connection, Engine

from mdb_sqla.errors import InvalidArgument
from mdb_sqla.migrations import revision_operations, store_history
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
    citus: bool = False,
    lock_granularity: LockGranularity | str | None = None,
) -> list[str]: ...
@overload
def upgrade(
    bind: Engine | Connection,
    /,
    *,
    schema: str | None = None,
    roles: bool = False,
    citus: bool = False,
    lock_granularity: LockGranularity | str | None = None,
) -> list[str]: ...
def upgrade(
    target: str | Engine | Connection,
    /,
    *,
    schema: str | None = None,
    roles: bool = False,
    citus: bool = False,
    lock_granularity: LockGranularity | str | None = None,
) -> list[str]:
    """Install the store, adopt a store of Message DB 1.2 or 1.3, or upgrade the store.

    In an Alembic revision of your application, pass a version: `migrations.upgrade("0005")`. The
    upgrade becomes part of the transaction in which Alembic runs the revision, or of the script
    that `--sql` writes. A store that already has this version, or a later one, is left unchanged,
    regardless of what installed it.

    Anywhere else, pass an engine or a connection. The store is upgraded to the latest version in
    one transaction; if the connection is already in a transaction, the upgrade becomes part of it.
    Several processes can do this at the same time: the first one upgrades the store, and the others
    wait for it and find nothing left to do.

    Args:
        target: a version of the store's schema, or an engine or a connection. In an async
            application, use `await connection.run_sync(migrations.upgrade)`.
        schema: the schema of the store, which is created if it does not exist. None means
            `message_store` or, in a revision, the Alembic option `message_store_schema`.
        roles: whether to create the roles too: `message_store`, for Message DB clients in other
            languages, and `message_store_reader`, `message_store_writer` and
            `message_store_consumer`, for applications. Existing roles are granted the privileges
            that they need.
        citus: whether to distribute a new store by category, with the extension Citus,
            which offers less than one server.
        lock_granularity: what writers lock in a new store, `stream` or `category`; None means
            `stream`. In a revision, you can also pass it with `alembic -x lock_granularity=...`. An
            adopted store keeps `category` until `admin.set_lock_granularity` changes it.

    Returns:
        The ids of the store's revisions that were run, in order; empty if the store was up to date,
        and for a script.

    Raises:
        UnrecognizedStore: the schema contains other objects, it was renamed, another migration
            history manages the store, or the encoding of the database is SQL_ASCII. Nothing was
            changed.
        NotPermitted: the role may not install or upgrade a store in this database.
        InvalidSchemaName: the schema name is invalid.
        InvalidArgument: this release has no such version, or another argument is invalid.
        CommandError: any of these errors in a revision; Alembic prints it without a traceback.
    """
    if isinstance(target, str):
        return revision_operations.upgrade(target, schema, roles, citus, lock_granularity)
    granularity = None if lock_granularity is None else LockGranularity(lock_granularity)
    schema = _schema(schema)
    with store_transaction(target, schema) as connection:
        return store_history.upgrade(
            connection, schema, roles=roles, citus=citus, lock_granularity=granularity
        )


@overload
def downgrade(
    version: str,
    /,
    *,
    schema: str | None = None,
    delete_messages: bool = False,
    delete_consumers: bool = False,
    delete_retention: bool = False,
    delete_keys: bool = False,
    delete_operations: bool = False,
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
    delete_retention: bool = False,
    delete_keys: bool = False,
    delete_operations: bool = False,
) -> list[str]: ...
def downgrade(
    target: str | Engine | Connection,
    /,
    *,
    schema: str | None = None,
    delete_messages: bool = False,
    delete_consumers: bool = False,
    delete_retention: bool = False,
    delete_keys: bool = False,
    delete_operations: bool = False,
    roles: bool = False,
) -> list[str]:
    """Remove the store, and its schema if `upgrade` created it and it contains nothing else.

    Args:
        target: in an Alembic revision of your application, `"base"`, or the version that the store
            had before the revision upgraded it; anywhere else, an engine or a connection.
        schema: the schema of the store, as for `upgrade`.
        delete_messages: whether messages may be deleted. In a revision, you can also allow this
            with `alembic -x delete_messages=yes downgrade ...`.
        delete_consumers: whether the state of consumers may be deleted: their positions, members,
            dead letters and registrations.
        delete_retention: whether the state of retention may be deleted: policies, the log of
            deletions, and the positions from which streams continue after their messages were
            deleted.
        delete_keys: whether the keys of subjects may be deleted. What is encrypted with them can't
            be read any more.
        delete_operations: whether the log of operations may be deleted, and paused consumers
            resume.
        roles: whether the store has the roles. Only needed for the script that `--sql` writes,
            because a script can't look it up.

    Returns:
        The ids of the store's revisions that were reverted, in order; empty for a script.

    Raises:
        DataExists: something would be deleted that may not be deleted. Nothing was changed.
        StoreNotInstalled: the schema has no store that `upgrade` installed.
        InvalidArgument: an argument is invalid.
        CommandError: any of these errors in a revision; Alembic prints it without a traceback.
    """
    may = {
        "messages": delete_messages,
        "consumers": delete_consumers,
        "retention": delete_retention,
        "keys": delete_keys,
        "operations": delete_operations,
    }
    may_delete = frozenset(kind for kind in DELETABLE if may[kind])
    if isinstance(target, str):
        return revision_operations.downgrade(target, schema, roles, may_delete)
    if roles:
        raise InvalidArgument(
            "roles must be omitted with an engine or a connection: it is recorded in the database"
        )
    schema = _schema(schema)
    with store_transaction(target, schema) as connection:
        return store_history.downgrade(connection, schema, may_delete=may_delete)


def write_upgrade_script(
    output: TextIO,
    *,
    schema: str | None = None,
    roles: bool = False,
    citus: bool = False,
    lock_granularity: LockGranularity | str | None = None,
) -> None:
    """Write a psql script that installs the store, or adopts a store of Message DB.

    The script does what `upgrade` does in a database where it has not installed a store yet.

    Args:
        output: the script is written to this file.
        schema: the schema of the store, as for `upgrade`.
        roles: whether to create the roles too, as for `upgrade`.
        citus: whether to distribute the store, as for `upgrade`.
        lock_granularity: what writers lock in a new store, as for `upgrade`.

    Raises:
        InvalidSchemaName: the schema name is invalid.
        InvalidArgument: the lock granularity is invalid.
    """
    granularity = None if lock_granularity is None else LockGranularity(lock_granularity)
    store_history.write_upgrade(
        output, _schema(schema), roles=roles, citus=citus, lock_granularity=granularity
    )


def _schema(name: str | None) -> str:
    return checked_schema(DEFAULT_SCHEMA if name is None else name)
