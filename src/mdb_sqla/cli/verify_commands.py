"""The commands `mdb verify` and `mdb benchmark`."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated

import typer
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from mdb_sqla.admin.server_benchmark import MOST
from mdb_sqla.admin.server_benchmark import benchmark as run_benchmark
from mdb_sqla.admin.verification import Verification
from mdb_sqla.admin.verification import verify as run_verify
from mdb_sqla.admin.verification.result_record import record_result
from mdb_sqla.cli.interruption import interruptible
from mdb_sqla.cli.listing import print_table
from mdb_sqla.cli.open_transaction_output import as_dicts, long_open_writers, print_open_writers
from mdb_sqla.cli.options import Schema, Url, connected, errors, output
from mdb_sqla.cli.os_user import os_user
from mdb_sqla.cli.printing import Json, print_json
from mdb_sqla.cli.quantities import plural
from mdb_sqla.consumers.open_writer import OpenWriter
from mdb_sqla.errors import NotOffered, StoreNotInstalled
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA
from mdb_sqla.words.durations import duration

__all__ = ["benchmark", "verify"]


def verify(
    url: Url = None,
    quick: Annotated[bool, typer.Option("--quick", help="Skip the messages.")] = False,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: Json = False,
) -> None:
    """Check schema, privileges and messages for problems.

    It changes nothing; its result is recorded in the log of operations, which `mdb operations`
    shows. The exit status is 1 if there are problems. Also shows long-open write
    transactions, which do not count as problems.

    Example: mdb verify --quick
    """
    with connected(url, schema) as engine:
        started = time.monotonic()
        with interruptible("Nothing was changed. Pass --quick to skip the messages."):
            result = run_verify(engine, schema=schema, quick=quick)
        seconds = time.monotonic() - started
        record_result(engine, result, schema=schema, quick=quick, seconds=seconds, by=os_user())
        writers = _open_writers(engine, result)
    if as_json:
        print_json(
            {
                "differences": [each._asdict() for each in result.differences],
                "checked": result.checked,
                "left_out": result.left_out,
                "open_writers": as_dicts(writers),
            }
        )
    else:
        for what in result.checked:
            output.print(f"Checked: {what}")
        for what in result.left_out:
            output.print(f"Skipped: {what}")
        for each in result.differences:
            errors.print(f"{each.where}: {each.what}", style="red")
            errors.print(f"  {each.remedy}")
        number = len(result.differences)
        output.print(f"{plural(number, 'problem')}." if number else "No problems found.")
        print_open_writers(writers)
    if not result.is_sound:
        raise SystemExit(1)


def _open_writers(engine: Engine, result: Verification) -> list[OpenWriter]:
    try:
        return long_open_writers(engine)
    except (NotOffered, StoreNotInstalled, DBAPIError) as error:
        # Show the rest of the report nevertheless.
        result.left_out.append(f"Open transactions: {getattr(error, 'orig', error)}".strip())
        return []


def benchmark(
    url: Url = None,
    messages: Annotated[
        int,
        typer.Option(metavar="N", min=1, max=MOST, help="Number of messages to write and read."),
    ] = 10_000,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: Json = False,
) -> None:
    """Measure the write and read throughput of the server.

    The server functions are called without commits, and all writes are rolled back.

    Example: mdb benchmark --messages 100000
    """
    with connected(url) as engine, interruptible("All writes were rolled back."):
        found = run_benchmark(engine, messages, schema=schema)
    if as_json:
        print_json(asdict(found))
        return
    print_table(
        output,
        ["function"],
        [
            [function, f"{found.messages:,}", duration(seconds), f"{found.messages / seconds:,.0f}"]
            for function, seconds in (
                ("write_message", found.write_seconds),
                ("get_stream_messages", found.read_seconds),
            )
        ],
        numbers=["messages", "time", "per second"],
    )
    output.print("\nMeasured inside the server, without commits; all writes were rolled back.")
