"""Commands that report what is in a store."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import version
from typing import Annotated

import typer
from rich.bar import Bar
from rich.table import Table

from mdb_sqla.admin.reports import REPORTS, columns
from mdb_sqla.admin.reports import report as read_report
from mdb_sqla.admin.store_summary import Summary
from mdb_sqla.admin.store_summary import summary as read_summary
from mdb_sqla.cli.open_transaction_output import as_dicts, long_open_writers, print_open_writers
from mdb_sqla.cli.options import Schema, Url, connected, output
from mdb_sqla.cli.printing import Json, format_bytes, print_json, shown, table
from mdb_sqla.database.error_translation import translated
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA

__all__ = ["report", "summary"]

_BAR = 30  # characters


def report(
    url: Url,
    name: Annotated[str, typer.Argument(metavar="NAME", help=f"One of {', '.join(REPORTS)}.")],
    stream: Annotated[
        str | None, typer.Option(help="Only streams whose name contains this.")
    ] = None,
    type_: Annotated[
        str | None, typer.Option("--type", help="Only types whose name contains this.")
    ] = None,
    category: Annotated[
        str | None, typer.Option(help="Only categories whose name contains this.")
    ] = None,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: Json = False,
) -> None:
    """Count messages by stream, type or category, with percentages of all messages.

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
    counts = table(*grouped, numbers=("messages", "percent"))
    for row in rows:
        counts.add_row(*map(shown, row.names), f"{row.message_count:,}", str(row.percent))
    output.print(counts)
    output.print(f"\n{total:,} message{'s' * (total != 1)}")


def summary(
    url: Url,
    days: Annotated[int, typer.Option(min=2, help="Number of days to count.")] = 14,
    categories: Annotated[int, typer.Option(min=1, help="Number of categories to show.")] = 10,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: Json = False,
) -> None:
    """Show size, growth and largest categories, within about a second for any store.

    Numbers with a ~ are estimates.

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
    facts = Table.grid(padding=(0, 2))
    for name, value in {
        "versions": f"message store {found.contract}, mdb_sqla {version('mdb_sqla')}, "
        f"PostgreSQL {found.server}",
        "lock granularity": found.lock_granularity,
        "size": f"{format_bytes(size.total)}: table {format_bytes(size.table)}, "
        f"indexes {format_bytes(size.indexes)}",
        "messages": f"{about}{found.messages:,}",
        "streams": f"{about}{found.streams:,}",
        "categories": f"{'more than ' * found.categories_at_least}{found.categories:,}",
        "growth": f"~{found.messages_per_day:,.0f} messages/day, "
        f"~{format_bytes(found.bytes_per_day)}/day ({len(found.days) - 1}-day average)",
    }.items():
        facts.add_row(name, value)
    output.print(facts)
    if found.every > 1:
        output.print(f"\n~ estimated from 1 in {found.every:,} global positions")


def _print_categories(found: Summary) -> None:
    largest = table("category", numbers=("messages", "streams"))
    largest.add_column("")
    most = max((each.messages for each in found.largest), default=0)
    about = "" if found.every == 1 else "~"
    for each in found.largest:
        numbers = (f"{about}{number:,}" for number in (each.messages, each.streams))
        largest.add_row(shown(each.category), *numbers, _bar(each.messages, most))
    output.print("\nLargest categories" if found.largest else "\nNo messages.")
    if found.largest:
        output.print(largest)


def _print_days(found: Summary) -> None:
    days = table(numbers=("day (UTC)", "messages"))
    days.add_column("")
    most = max(found.days.values())
    about = "" if found.days_every == 1 else "~"
    for day, number in found.days.items():
        days.add_row(day.isoformat(), f"{about}{number:,}", _bar(number, most))
    how = "" if found.days_every == 1 else f", from 1 in {found.days_every:,} global positions"
    output.print(f"\nMessages per day{how}")
    output.print(days)


def _bar(number: int, most: int) -> Bar:
    return Bar(most or 1, 0, number, width=_BAR)
