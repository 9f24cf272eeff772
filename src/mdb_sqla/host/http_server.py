"""An HTTP server in a thread of its own."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mdb_sqla.errors import HttpUnavailable, InvalidArgument
from mdb_sqla.words.argument_checks import described

if TYPE_CHECKING:
    from starlette.types import ASGIApp

__all__ = ["GRACE", "missing_extra", "parse_address", "serve"]

GRACE = 1
"""The number of seconds that requests in progress may delay the shutdown."""


def parse_address(address: int | str, what: str = "http") -> tuple[str, int]:
    """Return the host and port of `8080`, `0.0.0.0:8080` or `[::]:8080`; loopback is the default.

    Args:
        address: the address.
        what: what it is the address of, for the error message.

    Raises:
        InvalidArgument: the address has none of these forms.
    """
    host, colon, port = str(address).rpartition(":")
    is_complete = bool(host) == bool(colon)
    if not (is_complete and port.isascii() and port.isdigit() and int(port) < 2**16):
        raise InvalidArgument(f"{what} must be a port or host:port, got {described(address)}")
    return host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port)


@contextmanager
def serve(address: tuple[str, int], app: ASGIApp) -> Iterator[str]:
    """Serve an application from a dedicated thread; yields the URL of its root.

    Args:
        address: host and port; port 0 picks a free port.
        app: the application.

    Raises:
        HttpUnavailable: the address is in use, or the extra `http` is not installed.
    """
    try:
        import uvicorn
    except ModuleNotFoundError as error:
        raise missing_extra(error) from error
    with _listen(*address) as listener:
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                # With "auto", older versions set the event loop policy of the whole process.
                loop="asyncio",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level=logging.WARNING,
                access_log=False,
                timeout_graceful_shutdown=GRACE,
            )
        )
        # uvicorn handles no signals outside the main thread.
        thread = threading.Thread(
            target=server.run, args=([listener],), name="mdb_sqla http", daemon=True
        )
        thread.start()
        host, port = listener.getsockname()[:2]
        try:
            yield f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        finally:
            server.should_exit = True
            thread.join(2 * GRACE)


def missing_extra(error: ModuleNotFoundError) -> HttpUnavailable:
    """Return the error for a package that is not installed."""
    return HttpUnavailable(
        f'HTTP endpoints require the extra "http": pip install "mdb_sqla[http]" ({error})'
    )


@contextmanager
def _listen(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise HttpUnavailable(f"Can't listen on {host}:{port}: {error.strerror}") from error
    with listener:
        yield listener
