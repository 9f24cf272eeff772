"""The command `mdb operations`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from mdb_sqla.cli.listing import print_flow
from mdb_sqla.cli.options import Schema, Url, connected, errors, output
from mdb_sqla.cli.printing import Json, print_json, shown
from mdb_sqla.database.error_translation import translated
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA
from mdb_sqla.operation_log import Operation
from mdb_sqla.operation_log import operations as read_operations

__all__ = ["operations"]


def operations(
    subject: Annotated[
        str | None,
        typer.Argument(metavar="SUBJECT", help="Only this consumer or category."),
    ] = None,
    url: Url = None,
    kind: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="Only this kind, such as reset_consumer."),
    ] = None,
    limit: Annotated[
        int, typer.Option(metavar="N", min=1, help="Maximum number of operations.")
    ] = 20,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: Json = False,
) -> None:
    """List the latest operations, and who performed them.

    Example: mdb operations billing
    """
    with connected(url, schema) as engine, translated(), engine.connect() as connection:
        found = read_operations(connection, kind=kind, subject=subject, limit=limit)
    if as_json:
        print_json([operation._asdict() for operation in found])
        return
    if not found:
        errors.print("No operations.")
    for operation in found:
        _print(operation)


def _print(operation: Operation) -> None:
    who = operation.performed_by
    if operation.role != who:
        who += f" as {operation.role}"
    parts: list[str | Text] = [
        f"{operation.performed_at:%Y-%m-%d %H:%M:%S}Z",
        Text(shown(operation.kind), style="bold"),
    ]
    if operation.subject is not None:
        parts.append(shown(operation.subject))
    parts.append(f"by {shown(who)}")
    parts += [shown(f"{name}={value}") for name, value in operation.details.items()]
    print_flow(output, parts)
