"""Commands that start a PostgreSQL server: `mdb dev` and `mdb demo`."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import URL, NullPool, create_engine

from mdb_sqla import migrations
from mdb_sqla.cli import demo_tour as tour
from mdb_sqla.cli.options import output
from mdb_sqla.embedded import EmbeddedPostgres

__all__ = ["demo", "dev"]


def dev(
    directory: Annotated[Path, typer.Option(help="Data directory.")] = Path(".mdb"),
) -> None:
    """Run a PostgreSQL server with a message store for development, until Ctrl-C.

    Example: mdb dev
    """
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    directory.mkdir(exist_ok=True)
    (directory / ".gitignore").write_text("*\n", encoding="utf-8")
    with EmbeddedPostgres(directory / "postgres") as server:
        engine = create_engine(server.url(), poolclass=NullPool)
        migrations.upgrade(engine)
        output.print(f"PostgreSQL {server.version} with a message store is running at:\n")
        output.print(f"  {_full(server.url())}\n")
        output.print("Press Ctrl-C to stop it; the data is kept.")
        stopped.wait()
    output.print("Stopped.")


def demo() -> None:
    """Demonstrate the store on a temporary PostgreSQL server.

    Example: mdb demo
    """
    with EmbeddedPostgres() as server:
        engine = create_engine(server.url())
        tour.run(engine, output)
        engine.dispose()


def _full(url: URL) -> str:
    return url.render_as_string(hide_password=False)
