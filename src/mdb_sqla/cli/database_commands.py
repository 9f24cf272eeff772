"""Commands that create, delete and clear a database, and show versions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version as package_version
from typing import Annotated

import typer
from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import DBAPIError

from mdb_sqla import functions, migrations
from mdb_sqla.admin.databases import MAINTENANCE
from mdb_sqla.admin.databases import create_database as create
from mdb_sqla.admin.databases import delete_database as delete
from mdb_sqla.admin.message_removal import clear as clear_store
from mdb_sqla.cli.interruption import interruptible
from mdb_sqla.cli.options import Granularity, Roles, Schema, Url, connected, fail, output, refuse
from mdb_sqla.cli.os_user import os_user
from mdb_sqla.cli.printing import Json, print_json
from mdb_sqla.cli.quantities import plural
from mdb_sqla.database.error_fields import diagnostics_of, sqlstate_of
from mdb_sqla.database.error_translation import translated
from mdb_sqla.errors import PositionsExist
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA, checked_schema
from mdb_sqla.tables import messages
from mdb_sqla.words.lock_granularity import LockGranularity

__all__ = ["clear", "create_database", "delete_database", "recreate_database", "version"]

_MOST = 100_000
_INSUFFICIENT_PRIVILEGE = "42501"

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
Force = Annotated[bool, typer.Option("--force", help="Terminate other connections to it.")]
Maintenance = Annotated[
    str,
    typer.Option(metavar="NAME", help="Database to connect to for CREATE and DROP DATABASE."),
]


def create_database(
    url: Url = None,
    schema: Schema = DEFAULT_SCHEMA,
    roles: Roles = False,
    lock_granularity: Granularity = None,
    maintenance_database: Maintenance = MAINTENANCE,
) -> None:
    """Create a database with a store, or upgrade the store in it.

    Example: mdb create-database --url postgresql://localhost/shop
    """
    with connected(url) as engine:
        _create(engine, schema, roles, lock_granularity, maintenance_database)


def delete_database(
    url: Url = None,
    yes: Yes = False,
    force: Force = False,
    maintenance_database: Maintenance = MAINTENANCE,
) -> None:
    """Drop a database with everything in it.

    Example: mdb delete-database --url postgresql://localhost/shop
    """
    with connected(url) as engine:
        _confirm_database(engine, yes)
        _delete(engine, force, maintenance_database)


def recreate_database(
    url: Url = None,
    schema: Schema = DEFAULT_SCHEMA,
    roles: Roles = False,
    lock_granularity: Granularity = None,
    yes: Yes = False,
    force: Force = False,
    maintenance_database: Maintenance = MAINTENANCE,
) -> None:
    """Drop a database and create it again with an empty store.

    Example: mdb recreate-database --url postgresql://localhost/shop_test --yes
    """
    with connected(url) as engine:
        _confirm_database(engine, yes)
        # Rejects an invalid name before anything is deleted.
        checked_schema(schema)
        _delete(engine, force, maintenance_database)
        _create(engine, schema, roles, lock_granularity, maintenance_database)


def clear(
    url: Url = None,
    schema: Schema = DEFAULT_SCHEMA,
    reset_consumers: Annotated[
        bool,
        typer.Option(
            "--reset-consumers", help="Restart consumers from the beginning; stop them first."
        ),
    ] = False,
    yes: Yes = False,
    wait: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0.001, help="Time-out for open transactions to end."),
    ] = 10.0,
) -> None:
    """Delete all messages; global positions restart at 1.

    Fails while consumers have positions, because they would skip new messages; reset them as well.

    Example: mdb clear --reset-consumers
    """
    with connected(url, schema) as engine, translated(), engine.connect() as connection:
        number = _number_of_messages(connection)
        connection.rollback()
        if not yes:
            what = f"{number} of schema {schema} in database {engine.url.database}"
            typer.confirm(f"Delete {what}?", abort=True)
        try:
            with interruptible("Run it again to delete the messages."), connection.begin():
                clear_store(connection, reset_consumers=reset_consumers, wait=wait, by=os_user())
        except PositionsExist as error:
            fail(f"{error}. Stop them and pass --reset-consumers.")
    output.print(f"Deleted {number}.")


def version(url: Url = None, schema: Schema = DEFAULT_SCHEMA, as_json: Json = False) -> None:
    """Show the versions of the store, mdb_sqla and PostgreSQL.

    Example: mdb version
    """
    statement = select(functions.message_store_version(), func.current_setting("server_version"))
    with connected(url, schema) as engine, translated(), engine.connect() as connection:
        contract, server = connection.execute(statement).one()
    package = package_version("mdb_sqla")
    if as_json:
        print_json({"contract": contract, "package": package, "server": server})
    else:
        output.print(f"Message store {contract}, mdb_sqla {package}, PostgreSQL {server}")


def _create(
    engine: Engine,
    schema: str,
    roles: bool,
    lock_granularity: LockGranularity | None,
    maintenance: str,
) -> None:
    with interruptible("Run it again to finish."):
        with _database_privileges():
            created = create(engine, maintenance=maintenance)
        done = migrations.upgrade(
            engine, schema=schema, roles=roles, lock_granularity=lock_granularity
        )
    name = engine.url.database
    output.print(f"Database {name} {'created' if created else 'already exists'}.")
    state = "is ready" if done else "is already up to date"
    output.print(f"The store in schema {schema} of database {name} {state}.")


def _delete(engine: Engine, force: bool, maintenance: str) -> None:
    with _database_privileges():
        deleted = delete(engine, force=force, maintenance=maintenance)
    state = "deleted" if deleted else "does not exist"
    output.print(f"Database {engine.url.database} {state}.")


@contextmanager
def _database_privileges() -> Iterator[None]:
    """Exit if the role may not create or drop the database."""
    try:
        yield
    except DBAPIError as error:
        if sqlstate_of(error) != _INSUFFICIENT_PRIVILEGE:
            raise
        fail(
            f"{diagnostics_of(error).message}. Connect as its owner, or as a role with CREATEDB; "
            "to install a store in an existing database, run mdb upgrade."
        )


def _confirm_database(engine: Engine, yes: bool) -> None:
    if not engine.url.database:
        refuse("The URL has no database name: pass one such as postgresql://host/database.")
    if not yes:
        typer.confirm(f"Delete database {engine.url.database} and everything in it?", abort=True)


def _number_of_messages(connection: Connection) -> str:
    some = select(messages.c.global_position).limit(_MOST + 1).subquery()
    number = connection.scalar(select(func.count()).select_from(some)) or 0
    if number > _MOST:
        return f"more than {_MOST:,} messages"
    return plural(number, "message")
