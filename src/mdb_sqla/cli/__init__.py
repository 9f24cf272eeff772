"""The command `mdb`."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
import typer
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from mdb_sqla.cli import (
    consumer_commands,
    database_commands,
    dead_letter_commands,
    host_command,
    message_commands,
    relay_command,
    report_commands,
    server_commands,
    store_commands,
    transfer_commands,
    verify_commands,
)
from mdb_sqla.cli.options import discard_output, fail, prepare_streams
from mdb_sqla.database.error_translation import translated
from mdb_sqla.embedded import EmbeddedPostgresError
from mdb_sqla.errors import MessageStoreError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; the entry point of `mdb`.

    Args:
        arguments: the command line; default: the process's arguments.
    """
    prepare_streams()
    try:
        with translated():
            _app()(args=arguments)
    except (MessageStoreError, EmbeddedPostgresError) as error:
        fail(". ".join([str(error), *getattr(error, "__notes__", ())]))
    except ArgumentError as error:
        fail(f"Invalid database URL: {error}")
    except (SQLAlchemyError, psycopg.Error) as error:
        fail(str(getattr(error, "orig", None) or error))
    except OSError as error:
        discard_output()
        fail(error.strerror or str(error))


def _app() -> typer.Typer:
    app = typer.Typer(
        name="mdb",
        help="Message store for SQLAlchemy and PostgreSQL.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.command()(store_commands.upgrade)
    app.command()(store_commands.revision)
    app.command()(store_commands.downgrade)
    app.command(name="create-database")(database_commands.create_database)
    app.command(name="delete-database")(database_commands.delete_database)
    app.command(name="recreate-database")(database_commands.recreate_database)
    app.command()(database_commands.clear)
    app.command()(database_commands.version)
    app.command()(message_commands.write)
    app.command(name="print")(message_commands.print_messages)
    app.command()(message_commands.tail)
    app.command(name="export")(transfer_commands.export_messages)
    app.command(name="import")(transfer_commands.import_messages)
    app.command(name="lock-granularity")(store_commands.granularity)
    app.command(name="host")(host_command.run_host)
    app.command(name="relay")(relay_command.run_relays)
    app.command()(report_commands.report)
    app.command()(report_commands.summary)
    app.command()(consumer_commands.consumers)
    app.command(name="reset-consumer")(consumer_commands.reset_consumer)
    app.add_typer(_dead_letters(), name="dead-letters")
    app.command()(verify_commands.verify)
    app.command()(verify_commands.benchmark)
    app.command()(server_commands.dev)
    app.command()(server_commands.demo)
    return app


def _dead_letters() -> typer.Typer:
    app = typer.Typer(no_args_is_help=True, help="List, replay or skip dead letters.")
    app.command(name="list")(dead_letter_commands.list_letters)
    app.command(name="replay")(dead_letter_commands.replay_letters)
    app.command(name="skip")(dead_letter_commands.skip_letter)
    return app
