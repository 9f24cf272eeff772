"""Commands for a store: install, upgrade and remove it, and choose its locks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mdb_sqla import migrations
from mdb_sqla.admin import granularity as locks
from mdb_sqla.cli.options import Granularity, Roles, Schema, Url, connected, output
from mdb_sqla.migrations.revision_file import write_revision
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA
from mdb_sqla.words.lock_granularity import LockGranularity

__all__ = ["downgrade", "granularity", "revision", "upgrade"]


def upgrade(
    url: Url,
    schema: Schema = DEFAULT_SCHEMA,
    roles: Roles = False,
    lock_granularity: Granularity = None,
    sql: Annotated[
        bool, typer.Option("--sql", help="Print a script for psql; nothing is changed.")
    ] = False,
) -> None:
    """Install the store, adopt one that Message DB installed, or bring it up to date.

    Example: mdb upgrade --url postgresql://localhost/shop
    """
    if sql:
        migrations.write_upgrade_script(
            sys.stdout, schema=schema, roles=roles, lock_granularity=lock_granularity
        )
        return
    with connected(url) as engine:
        done = migrations.upgrade(
            engine, schema=schema, roles=roles, lock_granularity=lock_granularity
        )
        for revision in done:
            output.print(f"Ran {revision}")
        state = "is ready" if done else "was up to date"
        output.print(f"The store in schema {schema} of database {engine.url.database} {state}.")


def revision(
    config: Annotated[Path, typer.Option(help="The alembic.ini of your application.")] = Path(
        "alembic.ini"
    ),
    message: Annotated[
        str, typer.Option("-m", "--message", help="What the revision is called.")
    ] = "install the message store",
    roles: Roles = False,
    lock_granularity: Granularity = None,
) -> None:
    """Write a revision of your own that installs the store; then run alembic upgrade head.

    Example: mdb revision
    """
    path = write_revision(config, message, roles=roles, lock_granularity=lock_granularity)
    output.print(f"Wrote {path}; run it with: alembic upgrade head")


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
        typer.Argument(metavar="[category|stream]", help="What to lock; without it, show it."),
    ] = None,
    schema: Schema = DEFAULT_SCHEMA,
    wait: Annotated[float, typer.Option(min=0.001, help="For how many seconds to try.")] = 60.0,
) -> None:
    """Show or choose what writers lock until they commit: their stream, or their category.

    It waits for open transactions that have written; others may go on writing.

    Example: mdb lock-granularity stream
    """
    with connected(url) as engine:
        if choice is not None:
            locks.set_lock_granularity(engine, choice, schema=schema, wait=wait)
        output.print(f"Writers lock the {locks.lock_granularity(engine, schema=schema)}.")
