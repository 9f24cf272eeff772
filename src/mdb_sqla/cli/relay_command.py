"""The command that runs relays."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mdb_sqla.cli.host_command import Http, run
from mdb_sqla.cli.options import database_url, fail
from mdb_sqla.host.service_host import Host
from mdb_sqla.tables import SCHEMA

__all__ = ["run_relays"]


def run_relays(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG.TOML", help="The file that says what to relay.")
    ],
    url: Annotated[
        str | None,
        typer.Option(
            envvar="MDB_DATABASE_URL",
            help="The database; that of the file unless it is given.",
            show_default=False,
        ),
    ] = None,
    http: Http = None,
) -> None:
    """Publish messages to a broker until SIGTERM or Ctrl-C, as a file says.

    Example: mdb relay relay.toml --http 8080
    """
    try:
        from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

        from mdb_sqla.relay.config import read_config

        # Functions that the file names are the application's own.
        sys.path.insert(0, "")
        told = read_config(config)
        relays = [table.relay(name) for name, table in told.relays.items()]
    except ImportError as error:
        fail(f"A relay needs an extra, as in `pip install mdb_sqla[nats]`: {error}")
    where = url or told.url
    if where is None:
        fail("There is no database: pass --url, set MDB_DATABASE_URL, or write url into the file")
    engine = create_async_engine(
        database_url(where),
        execution_options={"schema_translate_map": {SCHEMA: told.schema_name}},
        # As for other commands: behind a transaction pooler, another process would meet what this
        # one has prepared; and messages may have any character.
        connect_args={"prepare_threshold": None, "client_encoding": "utf8"},
        pool_size=len(relays) + 1,
    )
    run(Host(async_sessionmaker(engine), *relays), http)
