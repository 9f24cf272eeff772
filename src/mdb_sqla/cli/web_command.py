"""The command that serves the web interface."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from sqlalchemy import Engine

from mdb_sqla.cli.options import Schema, StandbyUrls, Url, connected, errors, output, standbys
from mdb_sqla.cli.os_user import os_user
from mdb_sqla.errors import HttpUnavailable
from mdb_sqla.host.http_server import parse_address, serve
from mdb_sqla.store.standbys import Standbys
from mdb_sqla.tables import SCHEMA

__all__ = ["serve_page", "web"]

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def web(
    url: Url = None,
    address: Annotated[
        str, typer.Option(metavar="[HOST:]PORT", help="Address to listen on.")
    ] = "8250",
    allow_actions: Annotated[
        bool,
        typer.Option(
            "--allow-actions", help="Allow everyone who can open the page to change things."
        ),
    ] = False,
    host_names: Annotated[
        list[str] | None,
        typer.Option(
            "--host-name",
            metavar="NAME",
            help="Also accept this host name in the browser; * for any.",
            show_default=False,
        ),
    ] = None,
    read_from: StandbyUrls = None,
    schema: Schema = SCHEMA,
) -> None:
    """Show a store in the browser.

    Serves a page with the messages, consumers, dead letters and retention policies of a store,
    until SIGTERM or Ctrl-C. By default, it is read-only, and only this machine can open it.

    Example: mdb web --address 8250
    """
    where = parse_address(address, "address")
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with (
        connected(url, schema) as engine,
        standbys(read_from, schema) as found_standbys,
        serve_page(
            engine,
            where,
            read_from=found_standbys,
            allow_actions=allow_actions,
            host_names=host_names or (),
        ) as page,
    ):
        output.print(f"The store is shown at {page} until Ctrl-C.")
        if where[0] not in _LOOPBACK:
            what = "read all messages and perform actions" if allow_actions else "read all messages"
            errors.print(f"Anyone who can reach {where[0]}:{where[1]} can {what}.", style="yellow")
        stopped.wait()


@contextmanager
def serve_page(
    engine: Engine,
    address: tuple[str, int],
    *,
    read_from: Standbys | None = None,
    allow_actions: bool = False,
    host_names: list[str] | tuple[str, ...] = (),
) -> Iterator[str]:
    """Serve the web interface from a dedicated thread; yields its URL.

    Args:
        engine: the engine of the store.
        address: host and port; port 0 picks a free port.
        read_from: standbys to read messages from.
        allow_actions: whether to allow actions, which are recorded with the name of the user who
            runs this process.
        host_names: the names to accept besides those of the loopback interface and the address.

    Raises:
        HttpUnavailable: the address is in use, or the extra `web` is not installed.
    """
    try:
        from mdb_sqla.web import create_app
    except ModuleNotFoundError as error:
        raise HttpUnavailable(
            f'The web interface requires the extra "web": pip install "mdb_sqla[web]" ({error})'
        ) from error
    user = os_user() or "mdb web"
    # Another site's name may resolve to the loopback interface.
    allowed = {*_LOOPBACK, address[0], *host_names}
    app = create_app(
        engine,
        read_from=read_from,
        authorize=(lambda _: user) if allow_actions else None,
        allowed_hosts=allowed,
    )
    with serve(address, app) as url:
        yield f"{url}/"
