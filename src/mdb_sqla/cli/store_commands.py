"""Commands for a store: install it, bring it up to date, remove it, choose its locks."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mdb_sqla import migrations
from mdb_sqla.admin.granularity import LockGranularity, lock_granularity, set_lock_granularity
from mdb_sqla.cli.options import Schema, Url, connected, output
from mdb_sqla.migrations.revision_support import DEFAULT_SCHEMA

__all__ = ["downgrade", "granularity", "upgrade"]


def upgrade(
    url: Url,
    schema: Schema = DEFAULT_SCHEMA,
    role: Annotated[
        bool, typer.Option("--role", help="Also make the roles, and grant them what they need.")
    ] = False,
    sql: Annotated[
        bool, typer.Option("--sql", help="Print a script for psql; nothing is changed.")
    ] = False,
) -> None:
    """Install the store, adopt one that Message DB installed, or bring it up to date.

    Example: mdb upgrade --url postgresql://localhost/shop
    """
    if sql:
        migrations.write_upgrade_script(sys.stdout, schema=schema, role=role)
        return
    with connected(url) as engine:
        done = migrations.upgrade(engine, schema=schema, role=role)
        for revision in done:
            output.print(f"Ran {revision}")
        state = "is ready" if done else "was up to date"
        output.print(f"The store in schema {schema} of database {engine.url.database} {state}.")


def downgrade(
    url: Url,
    schema: Schema = DEFAULT_SCHEMA,
    delete_messages: Annotated[
        bool, typer.Option("--delete-messages", help="Delete the messages with it.")
    ] = False,
    delete_consumers: Annotated[
        bool,
        typer.Option(
            "--delete-consumers",
            help="Delete consumers' positions, members, dead letters and registrations with it.",
        ),
    ] = False,
) -> None:
    """Remove the store; refused while there are messages, or consumers have stored anything.

    Example: mdb downgrade --url postgresql://localhost/shop
    """
    with connected(url) as engine:
        done = migrations.downgrade(
            engine,
            schema=schema,
            delete_messages=delete_messages,
            delete_consumers=delete_consumers,
        )
        for revision in done:
            output.print(f"Took back {revision}")
        output.print(f"The store in schema {schema} of database {engine.url.database} is gone.")


def granularity(
    url: Url,
    choice: Annotated[
        LockGranularity | None,
        typer.Argument(metavar="[category|stream]", help="What to lock; without it, it is told."),
    ] = None,
    schema: Schema = DEFAULT_SCHEMA,
    wait: Annotated[float, typer.Option(min=0.001, help="For how many seconds to try.")] = 60.0,
) -> None:
    """Tell or choose what writers lock: a category each, or a stream each, side by side.

    It waits for the transactions that are writing, and may be done while others write.

    Example: mdb lock-granularity stream
    """
    with connected(url) as engine:
        if choice is not None:
            set_lock_granularity(engine, choice, schema=schema, wait=wait)
        output.print(f"Writers lock the {lock_granularity(engine, schema=schema)}.")
