"""Commands that put a store to the test."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from mdb_sqla.admin.server_benchmark import MOST
from mdb_sqla.admin.server_benchmark import benchmark as run_benchmark
from mdb_sqla.admin.verification import Verification
from mdb_sqla.admin.verification import verify as run_verify
from mdb_sqla.cli.open_writer_output import as_dicts, long_open_writers, print_open_writers
from mdb_sqla.cli.options import Schema, Url, connected, errors, output
from mdb_sqla.cli.printing import Json, print_json
from mdb_sqla.consumers.open_writer import OpenWriter
from mdb_sqla.errors import StoreNotInstalled
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA

__all__ = ["benchmark", "verify"]


def verify(
    url: Url,
    quick: Annotated[bool, typer.Option("--quick", help="Do not read the messages.")] = False,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: Json = False,
) -> None:
    """Compare a store with what the revisions would have made, and its messages with the rules.

    Nothing is changed. The exit status is 1 if anything differs. Transactions that have written and
    stay open are shown as well; they are no difference.

    Example: mdb verify --quick
    """
    with connected(url, schema) as engine:
        told = run_verify(engine, schema=schema, quick=quick)
        writers = _open_writers(engine, told)
    if as_json:
        print_json(
            {
                "differences": [each._asdict() for each in told.differences],
                "checked": told.checked,
                "left_out": told.left_out,
                "open_writers": as_dicts(writers),
            }
        )
    else:
        for what in told.checked:
            output.print(f"Checked: {what}")
        for what in told.left_out:
            output.print(f"Left out: {what}")
        for each in told.differences:
            errors.print(f"{each.where}: {each.what}", style="red")
            errors.print(f"  {each.remedy}")
        number = len(told.differences)
        output.print(f"{number} difference{'s' * (number > 1)}." if number else "Nothing differs.")
        print_open_writers(writers)
    if not told.is_sound:
        raise SystemExit(1)


def _open_writers(engine: Engine, told: Verification) -> list[OpenWriter]:
    try:
        return long_open_writers(engine)
    except (StoreNotInstalled, DBAPIError) as error:
        # What is missing, or may not be done here, is no reason not to show the rest.
        told.left_out.append(f"Open writers: {getattr(error, 'orig', error)}".strip())
        return []


def benchmark(
    url: Url,
    messages: Annotated[
        int, typer.Option(min=1, max=MOST, help="How many to write, and to read one by one.")
    ] = 10_000,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: Json = False,
) -> None:
    """Measure how fast the server's functions write and read; nothing that is written stays.

    Example: mdb benchmark --messages 100000
    """
    with connected(url) as engine:
        told = run_benchmark(engine, messages, schema=schema)
    if as_json:
        print_json(asdict(told))
        return
    for what, seconds in (("write", told.write_seconds), ("read", told.read_seconds)):
        rate = told.messages / seconds
        output.print(f"{what:5}  {told.messages:,} messages  {seconds:.3f} s  {rate:,.0f} a second")
    output.print("Measured within the server, without commits. All was rolled back.")
