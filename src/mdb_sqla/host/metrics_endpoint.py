"""The endpoint `/metrics`. Requires the extra `http`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from mdb_sqla.errors import MetricsUnavailable
from mdb_sqla.metrics.instruments import missing_packages
from mdb_sqla.metrics.prometheus_text import PrometheusText

__all__ = ["metrics_route", "process_metrics"]


def metrics_route(text: Callable[[], PrometheusText]) -> Route:
    """Return the route `/metrics`; without the extra `metrics`, it answers with status 404."""

    # Not a coroutine, so it runs in a thread of a pool: the queries for the gauges block.
    def metrics(request: Request) -> Response:
        try:
            page = text().render(request.headers.get("accept", ""))
        except MetricsUnavailable as error:
            return PlainTextResponse(f"{error}\n", 404)
        return Response(page.text, headers={"Content-Type": page.content_type})

    return Route("/metrics", metrics)


@cache
def process_metrics() -> PrometheusText:
    """Return the metrics of this process.

    They are those of the global meter provider, and those of Prometheus' default registry. If the
    application has set no provider, this sets one. It can't be replaced, so there is one for all
    hosts of the process.

    Raises:
        MetricsUnavailable: the extra `metrics` is not installed.
    """
    try:
        from opentelemetry import metrics
        from opentelemetry.sdk.metrics import MeterProvider
        from prometheus_client import REGISTRY
    except ModuleNotFoundError as error:
        raise missing_packages(error) from error
    provider = metrics.get_meter_provider()
    if isinstance(provider, MeterProvider):
        return PrometheusText(REGISTRY, provider=provider)
    text = PrometheusText(REGISTRY)
    if not isinstance(provider, metrics.NoOpMeterProvider):
        metrics.set_meter_provider(text.provider)
    return text
