"""Commands that start a server: for development, and to show what a store does."""

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
    directory: Annotated[Path, typer.Option(help="Where the data is kept.")] = Path(".mdb"),
) -> None:
    """Run a PostgreSQL server with a store in it until Ctrl-C, for development.

    Example: mdb dev
    """
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    directory.mkdir(exist_ok=True)
    (directory / ".gitignore").write_text("*\n", encoding="utf-8")
    with EmbeddedPostgres(directory / "postgres") as server:
        engine = create_engine(server.url(), poolclass=NullPool)
        migrations.upgrade(engine)
        output.print(f"PostgreSQL {server.version} is running, with a store in it:\n")
        output.print(f"  {_shown(server.url())}\n")
        output.print("Ctrl-C stops it; the data stays.")
        ended.wait()
    output.print("Stopped.")


def demo() -> None:
    """Show what the store does, on a PostgreSQL server that is gone afterwards.

    Example: mdb demo
    """
    with EmbeddedPostgres() as server:
        engine = create_engine(server.url())
        tour.run(engine, output)
        engine.dispose()


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=False)
