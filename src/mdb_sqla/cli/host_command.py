"""The command that runs consumers."""

from __future__ import annotations

import gc
from typing import Annotated

import typer

from mdb_sqla.cli.application_objects import loaded
from mdb_sqla.cli.host_log import LogFormat, LogFormatOption, configure_log
from mdb_sqla.cli.listing import print_table
from mdb_sqla.cli.options import errors, output
from mdb_sqla.cli.printing import shown
from mdb_sqla.consumers.consumer_lag import Lag
from mdb_sqla.errors import Refusal
from mdb_sqla.host.service_host import Host
from mdb_sqla.host.status import HostStatus

__all__ = ["Http", "Tracebacks", "run", "run_host"]

Http = Annotated[
    str | None,
    typer.Option(
        metavar="[HOST:]PORT",
        help="Address of the HTTP endpoints /health and /metrics.",
    ),
]
Tracebacks = Annotated[
    bool, typer.Option("--verbose", "-v", help="Log whole tracebacks, with library frames.")
]


def run_host(
    where: Annotated[
        str, typer.Argument(metavar="MODULE:NAME", help="The Host, such as shop.consumers:host.")
    ],
    http: Http = None,
    log_format: LogFormatOption = LogFormat.TEXT,
    verbose: Tracebacks = False,
) -> None:
    """Run the consumers of a host until SIGTERM or Ctrl-C.

    Example: mdb host shop.consumers:host --http 8080
    """
    host = loaded(where, Host, "host")
    run(host, http, log_format, verbose=verbose)


def run(host: Host, http: str | None, log_format: LogFormat, *, verbose: bool = False) -> None:
    """Run a host, logging to stderr; exit with status 1 if a consumer fails.

    With a log for programs, nothing else is printed.
    """
    configure_log(log_format, verbose=verbose)
    is_text = log_format is LogFormat.TEXT
    # Imported objects stay alive; scanning them repeatedly costs a relay a third of its throughput.
    gc.collect()
    gc.freeze()
    try:
        host.run(http=http, on_start=_report if is_text else None)
    except ExceptionGroup as group:
        # Each was logged with its traceback when its consumer failed.
        for failure in group.exceptions if is_text else ():
            errors.print(f"mdb: {shown(f'{failure}{_why(failure)}')}", style="red")
        raise SystemExit(1) from None


def _why(failure: BaseException) -> str:
    cause = failure.__cause__
    # The text of a refusal has what the server said.
    if cause is None or isinstance(failure, Refusal):
        return ""
    # Further lines may be many and contain data.
    first, *_ = str(cause).splitlines() or [""]
    return f": {type(cause).__name__}: {first}" if first else f": {type(cause).__name__}"


def _report(status: HostStatus) -> None:
    rows = [
        (
            shown(consumer.name),
            shown(", ".join(consumer.categories)) or "all categories",
            shown(consumer.group),
            "\n".join(shown(f"{type_}: {name}") for type_, name in consumer.handlers.items()),
            *_progress(consumer.lag),
        )
        for consumer in status.consumers
    ]
    headers = ["consumer", "reads", "group", "handlers"]
    print_table(output, headers, rows, numbers=["position", "lag"])
    if status.problem is not None:
        errors.print(f"mdb: {status.problem}", style="red")


def _progress(lag: Lag | None) -> tuple[str, str]:
    if lag is None:
        return "?", "?"
    position = "new" if lag.position is None else f"{lag.position:,}"
    return position, f"{lag.messages:,}{'+' * lag.at_least}"
