"""The optional trigger that protects messages from accidental changes."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, column, func, select, table

from mdb_sqla.admin.brief_locks import in_schema, with_brief_locks
from mdb_sqla.database.citus import Unoffered, refuse_on_citus
from mdb_sqla.database.error_translation import translated
from mdb_sqla.database.execution import ddl, qualified
from mdb_sqla.errors import StoreNotInstalled
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA
from mdb_sqla.operation_log import record
from mdb_sqla.words.argument_checks import flag

__all__ = ["has_protection", "is_protected", "set_protection"]

_TRIGGER = "messages_protected"
_triggers = table(
    "pg_trigger",
    column("tgrelid"),
    column("tgname"),
    column("tgenabled"),
    schema="pg_catalog",
)

_PROTECT = (
    "CREATE TRIGGER messages_protected BEFORE UPDATE OR DELETE OR TRUNCATE ON %(messages)s "
    "FOR EACH STATEMENT EXECUTE FUNCTION %(function)s()"
)
_UNPROTECT = "DROP TRIGGER IF EXISTS messages_protected ON %(messages)s"


def is_protected(engine: Engine, *, schema: str = DEFAULT_SCHEMA) -> bool:
    """Return whether the messages are protected from accidental changes. See `set_protection`.

    Raises:
        StoreNotInstalled: the schema has no store.
    """
    with translated(), in_schema(engine, schema).connect() as connection:
        _check_store(connection)
        return has_protection(connection)


def set_protection(
    engine: Engine,
    protected: bool,
    *,
    schema: str = DEFAULT_SCHEMA,
    wait: float = 60.0,
    by: str | None = None,
) -> None:
    """Protect the messages from accidental changes, or stop protecting them.

    A trigger refuses UPDATE, DELETE and TRUNCATE of messages with `MessagesProtected`, also to the
    owner of the store and to superusers; `clear` is refused too. Retention and `erase_stream` are
    not affected. It is a guard against accidents, not against an owner with intent, who can turn it
    off, drop the table, or do what the store's functions do.

    Waits for all open write transactions to end, as `set_lock_granularity` does; to turn it off,
    for those that read, too. A change is recorded in the log of operations.

    Args:
        engine: an engine that connects as the owner of the store.
        protected: whether to protect the messages.
        schema: the schema of the store.
        wait: the timeout in seconds.
        by: who does it, for the log of operations; by default the database role.

    Raises:
        InvalidArgument: `protected` is not a boolean, or `wait` is not positive.
        StoreBusy: transactions did not end before the timeout. Nothing was changed.
        NotOffered: the store is distributed with Citus.
        NotPermitted: the role is not the owner of the store.
        StoreNotInstalled: the schema has no store, or the store is not up to date.
    """
    flag("protected", protected)

    def change(connection: Connection) -> None:
        _check_store(connection)
        names = {name: qualified(connection, name) for name in ("messages", "refuse_change")}
        if has_protection(connection) == protected:
            return
        refuse_on_citus(connection, Unoffered.PROTECTION)
        # Also if it is disabled: then it is created again.
        connection.execute(ddl(_UNPROTECT, messages=names["messages"]))
        if protected:
            connection.execute(
                ddl(_PROTECT, messages=names["messages"], function=names["refuse_change"])
            )
        record(connection, "set_protection", details={"protected": protected}, by=by)

    with_brief_locks(
        in_schema(engine, schema), change, wait=wait, unchanged="The protection of messages"
    )


def has_protection(connection: Connection) -> bool:
    """Return whether the trigger exists and is enabled."""
    messages = func.to_regclass(qualified(connection, "messages"))
    enabled = select(_triggers.c.tgenabled).where(
        _triggers.c.tgrelid == messages, _triggers.c.tgname == _TRIGGER
    )
    # "D" is disabled, "R" fires in replicas only. The driver may return bytes.
    state = connection.scalar(enabled)
    return (state.decode() if isinstance(state, bytes) else state) in {"O", "A"}


def _check_store(connection: Connection) -> None:
    name = qualified(connection, "messages")
    if connection.scalar(select(func.to_regclass(name))) is None:
        raise StoreNotInstalled(f"There is no table {name}: install the store with mdb upgrade")
