"""Commands that tell what is in a store."""

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
from mdb_sqla.cli.open_writer_output import as_dicts, long_open_writers, print_open_writers
from mdb_sqla.cli.options import Schema, Url, connected, output
from mdb_sqla.cli.printing import Json, bytes_in_words, print_json, shown, table
from mdb_sqla.database.refusals import translated
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA

__all__ = ["report", "summary"]

_BAR = 30  # characters


def report(
    url: Url,
    name: Annotated[str, typer.Argument(metavar="NAME", help=f"One of {', '.join(REPORTS)}.")],
    stream: Annotated[str | None, typer.Option(help="Only streams with this in the name.")] = None,
    type_: Annotated[
        str | None, typer.Option("--type", help="Only types with this in the name.")
    ] = None,
    category: Annotated[
        str | None, typer.Option(help="Only categories with this in the name.")
    ] = None,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: Json = False,
) -> None:
    """Count messages by stream, type or category; percentages are of all messages in the store.

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
    told = table(*grouped, numbers=("messages", "percent"))
    for row in rows:
        told.add_row(*map(shown, row.names), f"{row.message_count:,}", str(row.percent))
    output.print(told)
    output.print(f"\n{total:,} message{'s' * (total != 1)}")


def summary(
    url: Url,
    days: Annotated[int, typer.Option(min=2, help="Of how many days messages are counted.")] = 14,
    categories: Annotated[int, typer.Option(min=1, help="How many of the largest to show.")] = 10,
    schema: Schema = DEFAULT_SCHEMA,
    as_json: Json = False,
) -> None:
    """Show a store at a glance; it takes about a second however large the store is.

    Numbers with a ~ are estimated.

    Example: mdb summary --days 30
    """
    with connected(url, schema) as engine:
        with translated(), engine.connect() as connection:
            told = read_summary(connection, days=days, categories=categories)
        writers = long_open_writers(engine)
    if as_json:
        growth = {"messages_per_day": told.messages_per_day, "bytes_per_day": told.bytes_per_day}
        by_day = [{"day": day, "messages": number} for day, number in told.days.items()]
        print_json(
            {"package": version("mdb_sqla")}
            | asdict(told)
            | {"days": by_day, "growth": growth, "open_writers": as_dicts(writers)}
        )
        return
    _print_store(told)
    _print_categories(told)
    _print_days(told)
    print_open_writers(writers)


def _print_store(told: Summary) -> None:
    about = "" if told.every == 1 else "~"
    size = told.size
    facts = Table.grid(padding=(0, 2))
    for name, value in {
        "contract": f"{told.contract}, mdb_sqla {version('mdb_sqla')}, PostgreSQL {told.server}",
        "writers lock": f"the {told.lock_granularity}",
        "size": f"{bytes_in_words(size.total)}: table {bytes_in_words(size.table)}, "
        f"indexes {bytes_in_words(size.indexes)}",
        "messages": f"{about}{told.messages:,}",
        "streams": f"{about}{told.streams:,}",
        "categories": f"{'more than ' * told.categories_at_least}{told.categories:,}",
        "growth": f"~{told.messages_per_day:,.0f} messages, "
        f"~{bytes_in_words(told.bytes_per_day)} a day, in the mean of {len(told.days) - 1} days",
    }.items():
        facts.add_row(name, value)
    output.print(facts)
    if told.every > 1:
        output.print(
            f"\n~ estimated from one in {told.every:,} global positions; the rest is exact"
        )


def _print_categories(told: Summary) -> None:
    largest = table("category", numbers=("messages", "streams"))
    largest.add_column("")
    most = max((each.messages for each in told.largest), default=0)
    about = "" if told.every == 1 else "~"
    for each in told.largest:
        numbers = (f"{about}{number:,}" for number in (each.messages, each.streams))
        largest.add_row(shown(each.category), *numbers, _bar(each.messages, most))
    output.print("\nLargest categories" if told.largest else "\nThere are no messages.")
    if told.largest:
        output.print(largest)


def _print_days(told: Summary) -> None:
    days = table(numbers=("day (UTC)", "messages"))
    days.add_column("")
    most = max(told.days.values())
    about = "" if told.days_every == 1 else "~"
    for day, number in told.days.items():
        days.add_row(day.isoformat(), f"{about}{number:,}", _bar(number, most))
    how = "" if told.days_every == 1 else f", from one in {told.days_every:,} global positions"
    output.print(f"\nMessages a day{how}")
    output.print(days)


def _bar(number: int, most: int) -> Bar:
    return Bar(most or 1, 0, number, width=_BAR)
