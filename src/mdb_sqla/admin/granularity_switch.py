"""The lock granularity of a store."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, select

from mdb_sqla import functions
from mdb_sqla.admin.brief_locks import in_schema, with_brief_locks
from mdb_sqla.database.error_translation import translated
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA
from mdb_sqla.operation_log import record
from mdb_sqla.words.lock_granularity import LockGranularity

__all__ = ["LockGranularity", "lock_granularity", "set_lock_granularity"]


def lock_granularity(engine: Engine, *, schema: str = DEFAULT_SCHEMA) -> LockGranularity:
    """Return the lock granularity of a store.

    Raises:
        StoreNotInstalled: the schema has no store, or the store is not up to date.
    """
    with translated(), in_schema(engine, schema).connect() as connection:
        return LockGranularity(connection.scalar(select(functions.lock_granularity())) or "")


def set_lock_granularity(
    engine: Engine,
    granularity: LockGranularity | str,
    *,
    schema: str = DEFAULT_SCHEMA,
    wait: float = 60.0,
    by: str | None = None,
) -> None:
    """Set the lock granularity of a store. Clients need no change.

    Waits for all open write transactions to end. New writers are blocked while it waits, but for at
    most two seconds at a time: then it lets them proceed, and retries. It is recorded in the log of
    operations.

    Args:
        engine: an engine that connects as the owner of the store.
        granularity: `category` or `stream`.
        schema: the schema of the store.
        wait: the timeout in seconds.
        by: who does it, for the log of operations; by default the database role.

    Raises:
        InvalidArgument: the granularity is invalid, or `wait` is not positive.
        StoreBusy: write transactions did not end before the timeout. Nothing was changed.
        StoreNotInstalled: the schema has no store, or the store is not up to date.
    """
    chosen = LockGranularity(granularity).value

    def change(connection: Connection) -> None:
        connection.execute(select(functions.set_lock_granularity(chosen)))
        record(connection, "set_lock_granularity", details={"granularity": chosen}, by=by)

    with_brief_locks(in_schema(engine, schema), change, wait=wait, unchanged="The lock granularity")
