"""Commands that install, upgrade and remove a store, and set its locks and its protection."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from mdb_sqla import migrations
from mdb_sqla.admin import granularity_switch as locks
from mdb_sqla.admin import protection
from mdb_sqla.cli.interruption import interruptible
from mdb_sqla.cli.options import Granularity, Roles, Schema, Url, connected, output
from mdb_sqla.cli.os_user import os_user
from mdb_sqla.migrations.revision_file import write_revision
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA
from mdb_sqla.words.lock_granularity import LockGranularity

__all__ = ["downgrade", "granularity", "protect", "revision", "upgrade"]


def upgrade(
    url: Url = None,
    schema: Schema = DEFAULT_SCHEMA,
    roles: Roles = False,
    citus: Annotated[
        bool, typer.Option("--citus", help="Distribute a new store by category, with Citus.")
    ] = False,
    lock_granularity: Granularity = None,
    sql: Annotated[
        bool, typer.Option("--sql", help="Print a psql script instead of running it.")
    ] = False,
) -> None:
    """Install or upgrade the store, or adopt a Message DB store.

    Example: mdb upgrade --url postgresql://localhost/shop
    """
    if sql:
        migrations.write_upgrade_script(
            sys.stdout, schema=schema, roles=roles, citus=citus, lock_granularity=lock_granularity
        )
        return
    with connected(url) as engine, interruptible("Run it again to finish the upgrade."):
        done = migrations.upgrade(
            engine, schema=schema, roles=roles, citus=citus, lock_granularity=lock_granularity
        )
        for revision in done:
            output.print(f"Applied {revision}")
        state = "is ready" if done else "is already up to date"
        output.print(f"The store in schema {schema} of database {engine.url.database} {state}.")


def revision(
    config: Annotated[
        Path, typer.Option(metavar="FILE", help="Your application's alembic.ini.")
    ] = Path("alembic.ini"),
    message: Annotated[
        str, typer.Option("-m", "--message", metavar="TEXT", help="Message of the revision.")
    ] = "install the message store",
    roles: Roles = False,
    lock_granularity: Granularity = None,
) -> None:
    """Write an Alembic revision that installs the store.

    Example: mdb revision
    """
    path = write_revision(config, message, roles=roles, lock_granularity=lock_granularity)
    output.print(f"Created {path}. Apply it with: alembic upgrade head")


def downgrade(
    url: Url = None,
    schema: Schema = DEFAULT_SCHEMA,
    delete_messages: Annotated[
        bool, typer.Option("--delete-messages", help="Also delete the messages.")
    ] = False,
    delete_consumers: Annotated[
        bool,
        typer.Option(
            "--delete-consumers",
            help="Also delete consumers' positions, members, dead letters and registrations.",
        ),
    ] = False,
    delete_retention: Annotated[
        bool,
        typer.Option(
            "--delete-retention",
            help="Also delete retention policies, the log of deletions, and stream positions.",
        ),
    ] = False,
    delete_keys: Annotated[
        bool,
        typer.Option(
            "--delete-keys",
            help="Also delete the keys of subjects, without which encrypted data is unreadable.",
        ),
    ] = False,
    delete_operations: Annotated[
        bool,
        typer.Option(
            "--delete-operations",
            help="Also delete the log of operations, and resume paused consumers.",
        ),
    ] = False,
) -> None:
    """Remove the store, unless that would delete data.

    Example: mdb downgrade --url postgresql://localhost/shop
    """
    with connected(url) as engine:
        done = migrations.downgrade(
            engine,
            schema=schema,
            delete_messages=delete_messages,
            delete_consumers=delete_consumers,
            delete_retention=delete_retention,
            delete_keys=delete_keys,
            delete_operations=delete_operations,
        )
        for revision in done:
            output.print(f"Reverted {revision}")
        output.print(f"Removed the store from schema {schema} of database {engine.url.database}.")


def granularity(
    url: Url = None,
    choice: Annotated[
        LockGranularity | None,
        typer.Argument(metavar="category|stream", help="What to lock; omit to show it."),
    ] = None,
    schema: Schema = DEFAULT_SCHEMA,
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.001, help="Time-out for open transactions.")
    ] = 60.0,
) -> None:
    """Show or set what writers lock: the stream or the category.

    They hold the lock until they commit. Setting it waits for open write transactions to end;
    other writers are blocked for at most 2 seconds.

    Example: mdb lock-granularity stream
    """
    with connected(url) as engine:
        if choice is not None:
            locks.set_lock_granularity(engine, choice, schema=schema, wait=wait, by=os_user())
        output.print(f"Writers lock the {locks.lock_granularity(engine, schema=schema)}.")


def protect(
    url: Url = None,
    choice: Annotated[
        Literal["on", "off"] | None,
        typer.Argument(metavar="on|off", help="Omit to show whether it is on."),
    ] = None,
    schema: Schema = DEFAULT_SCHEMA,
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.001, help="Time-out for open transactions.")
    ] = 60.0,
) -> None:
    """Protect messages from accidental changes.

    While it is on, UPDATE, DELETE and TRUNCATE of messages are refused to everybody, and so is
    `mdb clear`; `mdb retention run` and `mdb erase` still work. It guards against accidents, not
    against an owner with intent. Setting it waits for open transactions, as `mdb lock-granularity`
    does.

    Example: mdb protect on
    """
    with connected(url) as engine:
        if choice is not None:
            protection.set_protection(
                engine, choice == "on", schema=schema, wait=wait, by=os_user()
            )
        state = "" if protection.is_protected(engine, schema=schema) else "not "
        output.print(f"Messages are {state}protected from accidental changes.")
