"""Commands for projections."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

import typer

from mdb_sqla import projections
from mdb_sqla.cli.application_objects import loaded
from mdb_sqla.cli.interruption import interruptible
from mdb_sqla.cli.listing import print_table
from mdb_sqla.cli.message_progress import progress
from mdb_sqla.cli.options import Schema, StandbyUrls, Url, connected, errors, output, standbys
from mdb_sqla.cli.os_user import os_user
from mdb_sqla.cli.printing import Json, print_json, shown
from mdb_sqla.database.error_translation import translated
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA
from mdb_sqla.projections import Projection, ProjectionVersion

__all__ = ["drop", "list_projections", "mode", "rebuild", "switch"]

Where = Annotated[
    str,
    typer.Argument(metavar="MODULE:NAME", help="The Projection, such as shop.projections:totals."),
]
Wait = Annotated[
    float, typer.Option(metavar="SECONDS", help="How long to wait for transactions and locks.")
]
Slots = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Slots of the consumer from now on.", show_default=False),
]


def list_projections(
    url: Url = None, schema: Schema = DEFAULT_SCHEMA, as_json: Json = False
) -> None:
    """List the versions of all projections, and how far they are.

    The current version maintains the table of the application. Any other version has a table of its
    own: it is being filled, or it was replaced.

    Example: mdb projections list
    """
    with connected(url, schema) as engine, translated(), engine.connect() as connection:
        found = projections.projections(connection)
    if as_json:
        print_json([_as_dict(each) for each in found])
    elif found:
        rows = [_row(each) for each in found]
        headers = ["projection", "version", "status", "table"]
        print_table(output, headers, rows, numbers=["position", "lag"])
    else:
        errors.print("No projections.")


def rebuild(
    where: Where,
    url: Url = None,
    workers: Annotated[
        int, typer.Option(metavar="N", min=1, help="Processes, which share the streams.")
    ] = 2,
    earliest: Annotated[
        bool,
        typer.Option("--earliest", help="Use the messages that are left, if some were deleted."),
    ] = False,
    read_from: StandbyUrls = None,
    schema: Schema = DEFAULT_SCHEMA,
) -> None:
    """Fill a table with a new version of a projection.

    The version that is current stays in use until mdb projections switch. Run the command again to
    continue after an interruption.

    Example: mdb projections rebuild shop.projections:totals
    """
    projection = loaded(where, Projection, "projection")
    start: Literal[1, "earliest"] = "earliest" if earliest else 1
    with (
        connected(url, schema, writes=True) as engine,
        standbys(read_from, schema) as found_standbys,
        progress("Applied") as bar,
        interruptible("To continue, run the same command again."),
    ):
        projections.rebuild(
            engine,
            projection,
            workers=workers,
            where=where if ":" in where else f"{where}:projection",
            start=start,
            read_from=found_standbys,
            progress=lambda number: bar.show(number, number),
            by=os_user(),
        )
    output.print(shown(f"Version {projection.version} of {projection.name} has caught up."))


def switch(
    where: Where,
    url: Url = None,
    slots: Slots = None,
    wait: Wait = 60.0,
    schema: Schema = DEFAULT_SCHEMA,
) -> None:
    """Make a rebuilt version the current one.

    Exchanges the tables in one transaction. Then start the consumers of the new version.

    Example: mdb projections switch shop.projections:totals
    """
    projection = loaded(where, Projection, "projection")
    with connected(url, schema, writes=True) as engine:
        former = projections.switch(engine, projection, slots=slots, wait=wait, by=os_user())
    name, version = projection.name, projection.version
    output.print(shown(f"Version {version} of {name} is current."))
    errors.print(
        shown(f"When nothing needs version {former}: mdb projections drop {name} {former}")
    )


def mode(
    where: Where,
    chosen: Annotated[
        Literal["inline", "async"],
        typer.Argument(
            metavar="inline|async", help="The transactions that write messages, or a consumer."
        ),
    ],
    url: Url = None,
    slots: Slots = None,
    wait: Wait = 60.0,
    schema: Schema = DEFAULT_SCHEMA,
) -> None:
    """Choose what maintains a projection: writers or a consumer.

    Before you choose inline, attach the projection in all processes that write its messages.

    Example: mdb projections mode shop.projections:totals inline
    """
    projection = loaded(where, Projection, "projection")
    with connected(url, schema, writes=True) as engine:
        options: dict[str, Any] = {"wait": wait, "by": os_user()}
        if chosen == "inline":
            changed = projections.make_inline(engine, projection, **options)
        else:
            changed = projections.make_async(engine, projection, slots=slots or 1, **options)
    now = "now" if changed else "already"
    output.print(shown(f"{projection.name} is {now} maintained {_MODES[chosen]}."))


def drop(
    projection: Annotated[str, typer.Argument(metavar="PROJECTION", help="The projection's name.")],
    version: Annotated[int, typer.Argument(metavar="VERSION", min=0, help="The version.")],
    url: Url = None,
    wait: Wait = 60.0,
    schema: Schema = DEFAULT_SCHEMA,
) -> None:
    """Delete a version that is not current.

    Deletes its table and its consumer. Stop the consumer first.

    Example: mdb projections drop order_totals 1
    """
    with connected(url, schema, writes=True) as engine:
        projections.drop(engine, projection, version, wait=wait, by=os_user())
    output.print(shown(f"Deleted version {version} of {projection}."))


_MODES = {"inline": "inline", "async": "by its consumer"}


def _row(each: ProjectionVersion) -> tuple[str, ...]:
    position = lag = ""
    if each.lag is not None:
        position = "new" if each.lag.position is None else f"{each.lag.position:,}"
        lag = f"{each.lag.messages:,}{'+' * each.lag.at_least}"
    table = each.table or ""
    return shown(each.projection), str(each.version), each.status, shown(table), position, lag


def _as_dict(each: ProjectionVersion) -> dict[str, Any]:
    values = asdict(each)
    if each.lag is not None:
        values["lag"] = {"position": each.lag.position, **each.lag.as_dict()}
    return values
