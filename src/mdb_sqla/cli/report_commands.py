"""Commands that report what is in a store."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import version
from typing import Annotated

import typer

from mdb_sqla.admin.reports import REPORTS, columns
from mdb_sqla.admin.reports import report as read_report
from mdb_sqla.admin.store_summary import Summary
from mdb_sqla.admin.store_summary import summary as read_summary
from mdb_sqla.cli.listing import print_facts, print_paragraph, print_table
from mdb_sqla.cli.open_transaction_output import as_dicts, long_open_writers, print_open_writers
from mdb_sqla.cli.options import Schema, Url, connected, errors, output
from mdb_sqla.cli.printing import Json, print_json, shown
from mdb_sqla.cli.quantities import byte_size, plural
from mdb_sqla.database.error_translation import translated
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA

__all__ = ["report", "summary"]

_VACUUM_BEHIND = (
    "Autovacuum does not keep up with deletions, so the table grows: give it more workers, or look "
    "for a transaction, replication slot or standby that holds it back."
)


def report(
    name: Annotated[
        str,
        typer.Argument(
            metavar="REPORT",
            help=f"One of {', '.join(REPORTS)}.",
            autocompletion=lambda: list(REPORTS),
        ),
    ],
    url: Url = None,
    stream: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only streams whose name contains this.")
    ] = None,
    type_: Annotated[
        str | None,
        typer.Option("--type", metavar="TEXT", help="Only types whose name contains this."),
    ] = None,
    category: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only categories whose name contains this.")
    ] = None,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: Json = False,
) -> None:
    """Count messages by stream, type or category.

    Percentages are of all messages in the store.

    Example: mdb report category-type --category order
    """
    with connected(url, schema) as engine, translated(), engine.connect() as connection:
        rows = read_report(connection, name, stream=stream, type=type_, category=category)
    total = sum(row.message_count for row in rows)
    grouped = columns(name)
    if as_json:
        print_json(
            {
                "report": name,
                "rows": [
                    dict(zip(grouped, row.names, strict=True))
                    | {"message_count": row.message_count, "percent": row.percent}
                    for row in rows
                ],
                "message_count": total,
            }
        )
        return
    if not rows:
        errors.print("No messages.")
        return
    cells = [(*map(shown, row.names), f"{row.message_count:,}", f"{row.percent}") for row in rows]
    print_table(output, grouped, cells, numbers=["messages", "percent"])
    output.print(f"\n{plural(total, 'message')}")


def summary(
    url: Url = None,
    days: Annotated[int, typer.Option(metavar="N", min=2, help="Number of days to count.")] = 14,
    categories: Annotated[
        int, typer.Option(metavar="N", min=1, help="Number of categories to show.")
    ] = 10,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: Json = False,
) -> None:
    """Show the size, growth and largest categories of the store.

    It takes about a second for any store. Numbers with a ~ are estimates.

    Example: mdb summary --days 30
    """
    with connected(url, schema) as engine:
        with translated(), engine.connect() as connection:
            found = read_summary(connection, days=days, categories=categories)
        writers = long_open_writers(engine)
    if as_json:
        growth = {"messages_per_day": found.messages_per_day, "bytes_per_day": found.bytes_per_day}
        by_day = [{"day": day, "messages": number} for day, number in found.days.items()]
        print_json(
            {"package": version("mdb_sqla")}
            | asdict(found)
            | {"days": by_day, "growth": growth, "open_writers": as_dicts(writers)}
        )
        return
    _print_store(found)
    _print_categories(found)
    _print_days(found)
    print_open_writers(writers)


def _print_store(found: Summary) -> None:
    about = "" if found.every == 1 else "~"
    size = found.size
    # Without what a distribution appends.
    server, *_ = found.server.split()
    facts = {
        "versions": f"message store {found.contract}, mdb_sqla {version('mdb_sqla')}, "
        f"PostgreSQL {server}",
        "lock granularity": str(found.lock_granularity),
        "size": f"{byte_size(size.total)}: table {byte_size(size.table)}, "
        f"indexes {byte_size(size.indexes)}",
        "messages": f"{about}{found.messages:,}",
        "streams": f"{about}{found.streams:,}",
        "categories": f"{'more than ' * found.categories_at_least}{found.categories:,}",
        "growth": f"~{found.messages_per_day:,.0f} messages/day, "
        f"~{byte_size(found.bytes_per_day)}/day ({len(found.days) - 1}-day average)",
    }
    if found.deleted:
        facts["deleted"] = plural(found.deleted, "message")
    if found.dead_rows:
        facts["dead rows"] = f"~{found.dead_rows:,}"
    print_facts(output, facts)
    if found.is_vacuum_behind:
        output.print()
        print_paragraph(output, _VACUUM_BEHIND, indent="")
    if found.every > 1:
        output.print(f"\n~ estimated from 1 in {found.every:,} global positions")


def _print_categories(found: Summary) -> None:
    if not found.largest:
        output.print("\nNo messages.")
        return
    output.print("\nLargest categories")
    about = "" if found.every == 1 else "~"
    most = max(each.messages for each in found.largest)
    print_table(
        output,
        ["category"],
        [
            (shown(each.category), f"{about}{each.messages:,}", f"{about}{each.streams:,}")
            for each in found.largest
        ],
        numbers=["messages", "streams"],
        bars=[each.messages / most for each in found.largest],
    )


def _print_days(found: Summary) -> None:
    how = "" if found.days_every == 1 else f", from 1 in {found.days_every:,} global positions"
    output.print(f"\nMessages per day{how}")
    about = "" if found.days_every == 1 else "~"
    most = max(found.days.values()) or 1
    print_table(
        output,
        ["day (UTC)"],
        [(day.isoformat(), f"{about}{number:,}") for day, number in found.days.items()],
        numbers=["messages"],
        bars=[number / most for number in found.days.values()],
    )
