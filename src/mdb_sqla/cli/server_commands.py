"""Commands that start a PostgreSQL server: `mdb dev` and `mdb demo`."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import URL, Engine, NullPool, create_engine

from mdb_sqla.cli.dev_server import running_server
from mdb_sqla.cli.options import output, require_driver
from mdb_sqla.cli.web_command import serve_page
from mdb_sqla.embedded import EmbeddedPostgres
from mdb_sqla.errors import HttpUnavailable

__all__ = ["demo", "dev"]

_HOST, _PORT = "localhost", 8250


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
    with running_server(directory, port) as server, _page(server.url) as page:
        plain = _full(server.url.set(drivername="postgresql"))
        output.print(
            f"PostgreSQL {server.version} with a message store is listening on "
            f"{server.url.host}:{server.url.port}.\n"
        )
        output.print("Look at the store in the browser:")
        output.print(f"{page}\n")
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
        if sys.stdin.isatty() and output.is_terminal:
            _show(engine)
        engine.dispose()


def _show(engine: Engine) -> None:
    """Serve the web interface of the tour's store until Ctrl-C."""
    with _served(engine) as page:
        output.print(f"\nLook at this store in the browser, until Ctrl-C: {page}")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            output.print("Stopped.")


@contextmanager
def _page(url: URL) -> Iterator[str]:
    engine = create_engine(url.set(drivername="postgresql+psycopg"), poolclass=NullPool)
    with _served(engine) as page:
        yield page


@contextmanager
def _served(engine: Engine) -> Iterator[str]:
    """Serve the web interface, if it is installed; yields its URL, or how to install it."""
    with ExitStack() as stack:
        yield _enter_page(engine, stack)


def _enter_page(engine: Engine, stack: ExitStack) -> str:
    try:
        import uvicorn  # noqa: F401

        import mdb_sqla.web  # noqa: F401
    except ModuleNotFoundError:
        return 'pip install "mdb_sqla[web]", and start again'
    try:
        return stack.enter_context(serve_page(engine, (_HOST, _PORT), allow_actions=True))
    except HttpUnavailable:
        # The port is in use, for example by another `mdb dev`.
        return stack.enter_context(serve_page(engine, (_HOST, 0), allow_actions=True))


def _full(url: URL) -> str:
    return url.render_as_string(hide_password=False)
