"""Health and lag over HTTP, for a supervisor."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mdb_sqla.errors import HttpUnavailable, InvalidArgument
from mdb_sqla.host.lag_query import ENDED, PATIENCE, Lags, Question, answered
from mdb_sqla.host.status import HostStatus

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse

__all__ = ["parsed_address", "serving"]

_log = logging.getLogger("mdb_sqla.host")

_FRESH = 1.0  # for how many seconds an answer of the database is given to all who ask
_GRACE = 1  # for how many seconds requests in hand may delay the end


def parsed_address(address: int | str) -> tuple[str, int]:
    """Return host and port of `8080`, `0.0.0.0:8080` or `[::]:8080`; without a host, loopback.

    Raises:
        InvalidArgument: it is none of these.
    """
    host, colon, port = str(address).rpartition(":")
    is_complete = bool(host) == bool(colon)
    if not (is_complete and port.isascii() and port.isdigit() and int(port) < 2**16):
        raise InvalidArgument(f"http must be a port, or host:port: {address!r}")
    return host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port)


@contextmanager
def serving(
    address: tuple[str, int], ask: Question, status: Callable[[Lags], HostStatus]
) -> Iterator[None]:
    """Serve `/health` from a thread of its own.

    Args:
        address: host and port; port 0 is one that is free, and logged.
        ask: asks the database for the lags.
        status: is what to tell with these lags.

    Raises:
        HttpUnavailable: the address can't be had, or the extra `http` is not installed.
    """
    try:
        import uvicorn

        lags = _Lags(ask)
        app = _application(lags, status)
    except ModuleNotFoundError as error:
        raise HttpUnavailable(
            'There is nothing to serve HTTP with: pip install "mdb_sqla[http]"'
        ) from error
    with _listening(*address) as listener:
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                # In the application's process: with "auto", older ones set a policy for all loops.
                loop="asyncio",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level=logging.WARNING,
                access_log=False,
                timeout_graceful_shutdown=_GRACE,
            )
        )
        # In another thread than the main one, uvicorn leaves signals alone.
        thread = threading.Thread(
            target=server.run, args=([listener],), name="mdb_sqla health", daemon=True
        )
        thread.start()
        host, port = listener.getsockname()[:2]
        _log.info(
            "Health is told at http://%s:%d/health", f"[{host}]" if ":" in host else host, port
        )
        try:
            yield
        finally:
            lags.end()
            server.should_exit = True
            thread.join(2 * _GRACE)


class _Lags:
    """What the database has told, asked by one question at a time, however many want to know."""

    def __init__(self, ask: Question) -> None:
        self._ask = ask
        self._answer: Future[Lags] | None = None
        self._asked_at = self._answered_at = 0.0
        self._has_ended = False

    async def get(self) -> Lags:
        """Return them, or that the database has not answered in time."""
        if self._has_ended:
            return Lags(problem=ENDED)
        now = time.monotonic()
        answer = self._answer
        if answer is None or (answer.done() and now >= self._answered_at + _FRESH):
            self._asked_at = now
            answer = self._answer = self._ask()
            answer.add_done_callback(self._answered)
        return await answered(answer, self._asked_at + PATIENCE - now)

    def end(self) -> None:
        """Give an answer at once to all who wait; from any thread."""
        self._has_ended = True
        if self._answer is not None:
            self._answer.cancel()

    def _answered(self, _: object) -> None:
        self._answered_at = time.monotonic()


def _application(lags: _Lags, status: Callable[[Lags], HostStatus]) -> Starlette:
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def health(request: Request) -> JSONResponse:
        told = status(await lags.get())
        return JSONResponse(told.as_dict(), 200 if told.is_healthy else 503)

    return Starlette(routes=[Route("/health", health)])


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise HttpUnavailable(f"HTTP can't be served at {host}:{port}: {error.strerror}") from error
    with listener:
        yield listener
