"""Commands that start a PostgreSQL server: `mdb dev` and `mdb demo`."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import URL, create_engine

from mdb_sqla.cli.dev_server import running_server
from mdb_sqla.cli.options import output, require_driver
from mdb_sqla.embedded import EmbeddedPostgres

__all__ = ["demo", "dev"]


def dev(
    directory: Annotated[
        Path, typer.Option(metavar="DIRECTORY", help="Where data, port and password are kept.")
    ] = Path(".mdb"),
    port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT",
            min=1,
            max=65_535,
            help="Port of localhost; default: a free one, the same after a restart.",
        ),
    ] = None,
) -> None:
    """Run a development PostgreSQL server with a message store.

    It listens on localhost, asks for a password, and runs until Ctrl-C. The data is kept.

    Example: mdb dev
    """
    require_driver()
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with running_server(directory, port) as server:
        plain = _full(server.url.set(drivername="postgresql"))
        output.print(
            f"PostgreSQL {server.version} with a message store is listening on "
            f"{server.url.host}:{server.url.port}.\n"
        )
        output.print("SQLAlchemy URL:")
        output.print(f"{_full(server.url)}\n")
        output.print("Connect with psql:")
        output.print(f"psql {plain}\n")
        output.print("Use it with mdb:")
        output.print(f"export MDB_DATABASE_URL={plain}\n")
        output.print(f"Press Ctrl-C to stop it; the data is kept in {directory}.")
        stopped.wait()
    output.print("Stopped.")


def demo() -> None:
    """Tour the store in five steps, on a temporary server.

    Example: mdb demo
    """
    from mdb_sqla.cli import demo_tour  # imports Pygments

    require_driver()
    output.print("Starting a temporary PostgreSQL server...")
    with EmbeddedPostgres() as server:
        engine = create_engine(server.url())
        demo_tour.run(engine, output)
        engine.dispose()


def _full(url: URL) -> str:
    return url.render_as_string(hide_password=False)
