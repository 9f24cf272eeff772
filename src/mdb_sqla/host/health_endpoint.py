"""The health endpoint: health and lag over HTTP."""

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
from mdb_sqla.host.lag_collection import STOPPED, TIMEOUT, LagQuery, LagReport, wait_for_report
from mdb_sqla.host.status import HostStatus
from mdb_sqla.words.argument_checks import described

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse

__all__ = ["parse_address", "serve_health"]

_log = logging.getLogger("mdb_sqla.host")

_CACHE_SECONDS = 1.0  # during which all requests receive the same report
_GRACE = 1  # seconds that requests in progress may delay the shutdown


def parse_address(address: int | str) -> tuple[str, int]:
    """Return the host and port of `8080`, `0.0.0.0:8080` or `[::]:8080`; loopback is the default.

    Raises:
        InvalidArgument: the address has none of these forms.
    """
    host, colon, port = str(address).rpartition(":")
    is_complete = bool(host) == bool(colon)
    if not (is_complete and port.isascii() and port.isdigit() and int(port) < 2**16):
        raise InvalidArgument(f"http must be a port or host:port, got {described(address)}")
    return host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port)


@contextmanager
def serve_health(
    address: tuple[str, int], query: LagQuery, status: Callable[[LagReport], HostStatus]
) -> Iterator[None]:
    """Serve `/health` from a dedicated thread.

    Args:
        address: host and port; port 0 picks a free port, which is logged.
        query: queries the database for the lags.
        status: creates the status to serve from a report.

    Raises:
        HttpUnavailable: the address is in use, or the extra `http` is not installed.
    """
    try:
        import uvicorn

        cache = _ReportCache(query)
        app = _application(cache, status)
    except ModuleNotFoundError as error:
        raise HttpUnavailable(
            'The health endpoint requires the extra "http": pip install "mdb_sqla[http]"'
        ) from error
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
                timeout_graceful_shutdown=_GRACE,
            )
        )
        # uvicorn handles no signals outside the main thread.
        thread = threading.Thread(
            target=server.run, args=([listener],), name="mdb_sqla health", daemon=True
        )
        thread.start()
        host, port = listener.getsockname()[:2]
        _log.info(
            "Health endpoint: http://%s:%d/health", f"[{host}]" if ":" in host else host, port
        )
        try:
            yield
        finally:
            cache.close()
            server.should_exit = True
            thread.join(2 * _GRACE)


class _ReportCache:
    """The latest report. Concurrent requests share one query."""

    def __init__(self, query: LagQuery) -> None:
        self._query = query
        self._report: Future[LagReport] | None = None
        self._queried_at = self._received_at = 0.0
        self._is_closed = False

    async def get(self) -> LagReport:
        """Return the report; if the database doesn't answer in time, a report of this problem."""
        if self._is_closed:
            return LagReport(problem=STOPPED)
        now = time.monotonic()
        report = self._report
        if report is None or (report.done() and now >= self._received_at + _CACHE_SECONDS):
            self._queried_at = now
            report = self._report = self._query()
            report.add_done_callback(self._received)
        return await wait_for_report(report, self._queried_at + TIMEOUT - now)

    def close(self) -> None:
        """Answer all waiting requests at once. Can be called from any thread."""
        self._is_closed = True
        if self._report is not None:
            self._report.cancel()

    def _received(self, _: object) -> None:
        self._received_at = time.monotonic()


def _application(cache: _ReportCache, status: Callable[[LagReport], HostStatus]) -> Starlette:
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def health(request: Request) -> JSONResponse:
        current = status(await cache.get())
        return JSONResponse(current.as_dict(), 200 if current.is_healthy else 503)

    return Starlette(routes=[Route("/health", health)])


@contextmanager
def _listen(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise HttpUnavailable(f"Can't listen on {host}:{port}: {error.strerror}") from error
    with listener:
        yield listener
