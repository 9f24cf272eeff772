"""The command `mdb`."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
import typer
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from mdb_sqla.cli import (
    checking,
    consuming,
    databases,
    development,
    hosting,
    letters,
    messages,
    relaying,
    reporting,
    store,
    transferring,
)
from mdb_sqla.cli.options import discard_output, fail, prepare_streams
from mdb_sqla.embedded import EmbeddedPostgresError
from mdb_sqla.errors import MessageStoreError
from mdb_sqla.refusals import translated

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; the entry point of `mdb`.

    Args:
        arguments: those of the process, where there are none.
    """
    prepare_streams()
    try:
        with translated():
            _app()(args=arguments)
    except (MessageStoreError, EmbeddedPostgresError) as error:
        fail(". ".join([str(error), *getattr(error, "__notes__", ())]))
    except ArgumentError as error:
        fail(f"The URL can't be used: {error}")
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
    app.command()(store.upgrade)
    app.command()(store.downgrade)
    app.command(name="create-database")(databases.create_database)
    app.command(name="delete-database")(databases.delete_database)
    app.command(name="recreate-database")(databases.recreate_database)
    app.command()(databases.clear)
    app.command()(databases.version)
    app.command()(messages.write)
    app.command(name="print")(messages.print_messages)
    app.command()(messages.tail)
    app.command(name="export")(transferring.export_messages)
    app.command(name="import")(transferring.import_messages)
    app.command(name="lock-granularity")(store.granularity)
    app.command(name="host")(hosting.run_host)
    app.command(name="relay")(relaying.run_relays)
    app.command()(reporting.report)
    app.command()(reporting.summary)
    app.command()(consuming.consumers)
    app.command(name="reset-consumer")(consuming.reset_consumer)
    app.add_typer(_dead_letters(), name="dead-letters")
    app.command()(checking.verify)
    app.command()(checking.benchmark)
    app.command()(development.dev)
    app.command()(development.demo)
    return app


def _dead_letters() -> typer.Typer:
    app = typer.Typer(no_args_is_help=True, help="What consumers could not handle.")
    app.command(name="list")(letters.list_letters)
    app.command(name="replay")(letters.replay_letters)
    app.command(name="skip")(letters.skip_letter)
    return app
