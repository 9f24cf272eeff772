"""The command that runs relays."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mdb_sqla.cli.host_command import Http, Tracebacks, run
from mdb_sqla.cli.host_log import LogFormat, LogFormatOption
from mdb_sqla.cli.options import database_url, fail, refuse
from mdb_sqla.host.service_host import Host
from mdb_sqla.tables import SCHEMA

__all__ = ["run_relays"]


def run_relays(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="Configuration file, in TOML.")],
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="MDB_DATABASE_URL",
            help="Database URL; default: the configuration file's.",
            show_default=False,
        ),
    ] = None,
    http: Http = None,
    log_format: LogFormatOption = LogFormat.TEXT,
    verbose: Tracebacks = False,
) -> None:
    """Publish messages to a broker until SIGTERM or Ctrl-C.

    Example: mdb relay relay.toml --http 8080
    """
    try:
        from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

        from mdb_sqla.relay.config import read_config

        # The file may name functions of the application.
        sys.path.insert(0, "")
        settings = read_config(config)
        relays = [table.relay(name) for name, table in settings.relays.items()]
    except ImportError as error:
        fail(
            "The relay's client library is missing: install the broker's extra, such as "
            f"`pip install mdb_sqla[nats]`: {error}"
        )
    where = url or settings.url
    if where is None:
        refuse("No database URL: pass --url, set MDB_DATABASE_URL, or set url in the file.")
    engine = create_async_engine(
        database_url(where),
        execution_options={"schema_translate_map": {SCHEMA: settings.schema_name}},
        # As in cli.options.connected().
        connect_args={"prepare_threshold": None, "client_encoding": "utf8"},
        pool_size=len(relays) + 1,
    )
    run(Host(async_sessionmaker(engine), *relays), http, log_format, verbose=verbose)
