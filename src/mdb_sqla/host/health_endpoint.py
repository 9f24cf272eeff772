"""The HTTP endpoints of a host: its health, and the metrics of its process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mdb_sqla.host.http_server import missing_extra, serve
from mdb_sqla.host.lag_collection import LagReport, report_of
from mdb_sqla.host.status import HostStatus
from mdb_sqla.log_event import log_event
from mdb_sqla.metrics.background_query import QueryCache

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse

__all__ = ["serve_health"]

_log = logging.getLogger("mdb_sqla.host")


@contextmanager
def serve_health(
    address: tuple[str, int],
    lags: QueryCache[LagReport],
    status: Callable[[LagReport], HostStatus],
) -> Iterator[None]:
    """Serve `/health` and `/metrics` from a dedicated thread.

    Args:
        address: host and port; port 0 picks a free port, which is logged.
        lags: queries the database for the lags; closed at the end.
        status: creates the status to serve from a report.

    Raises:
        HttpUnavailable: the address is in use, or the extra `http` is not installed.
    """
    try:
        app = _application(lags, status)
    except ModuleNotFoundError as error:
        raise missing_extra(error) from error
    with serve(address, app) as url:
        log_event(
            _log,
            logging.INFO,
            "host.serving",
            "Health endpoint: %s/health",
            url,
            url=url,
        )
        try:
            yield
        finally:
            lags.close()


def _application(
    lags: QueryCache[LagReport], status: Callable[[LagReport], HostStatus]
) -> Starlette:
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    from mdb_sqla.host.metrics_endpoint import metrics_route, process_metrics

    async def health(request: Request) -> JSONResponse:
        current = status(report_of(await lags.get_async()))
        return JSONResponse(current.as_dict(), 200 if current.is_healthy else 503)

    return Starlette(routes=[Route("/health", health), metrics_route(process_metrics)])
