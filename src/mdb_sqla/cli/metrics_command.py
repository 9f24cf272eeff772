"""The command that exports the gauges of a whole store."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from typing import Annotated, Any

import typer

from mdb_sqla.cli.host_log import LogFormat, LogFormatOption, configure_log
from mdb_sqla.cli.options import Schema, Url, connected, fail
from mdb_sqla.host.http_server import missing_extra, parse_address, serve
from mdb_sqla.log_event import log_event
from mdb_sqla.metrics.instruments import instruments_of
from mdb_sqla.metrics.prometheus_text import PrometheusText
from mdb_sqla.metrics.store_gauges import StoreGauges
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA

__all__ = ["metrics"]

_log = logging.getLogger("mdb_sqla.metrics")

# A query that hangs because the connection is dead fails after about 15 seconds.
_CONNECT: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 2,
}


def metrics(
    url: Url = None,
    address: Annotated[
        str, typer.Option(metavar="[HOST:]PORT", help="Address of the endpoint /metrics.")
    ] = "9464",
    once: Annotated[
        bool, typer.Option("--once", help="Print the metrics, and serve nothing.")
    ] = False,
    schema: Schema = DEFAULT_SCHEMA,
    log_format: LogFormatOption = LogFormat.TEXT,
) -> None:
    """Export the gauges of a store for Prometheus.

    Serves /metrics until SIGTERM or Ctrl-C. While the database does not answer, the gauge
    mdb_sqla_store_up is 0, and the other gauges are left out.

    Example: mdb metrics --address 0.0.0.0:9464
    """
    where = parse_address(address, "address")
    with connected(url, schema, **_CONNECT) as engine:
        text, gauges = PrometheusText(), StoreGauges(engine)
        instruments_of(text.provider).add(gauges)
        if once:
            _print(text, gauges)
        else:
            configure_log(log_format, verbose=False)
            _serve(where, text, gauges)


def _print(text: PrometheusText, gauges: StoreGauges) -> None:
    sys.stdout.write(text.render().text.decode())
    if (problem := gauges.report().problem) is not None:
        fail(problem)


def _serve(where: tuple[str, int], text: PrometheusText, gauges: StoreGauges) -> None:
    try:
        from starlette.applications import Starlette

        from mdb_sqla.host.metrics_endpoint import metrics_route
    except ModuleNotFoundError as error:
        raise missing_extra(error) from error
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with serve(where, Starlette(routes=[metrics_route(lambda: text)])) as url:
        log_event(
            _log, logging.INFO, "metrics.serving", "Metrics endpoint: %s/metrics", url, url=url
        )
        stopped.wait()
        gauges.close()
