"""Output of open transactions that hold readers and writers back."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from mdb_sqla.cli.listing import print_paragraph
from mdb_sqla.cli.options import output
from mdb_sqla.cli.printing import shown
from mdb_sqla.consumers import open_transactions as source
from mdb_sqla.consumers.open_writer import OpenWriter
from mdb_sqla.database.error_translation import translated

__all__ = ["as_dicts", "long_open_writers", "print_open_writers"]


def long_open_writers(engine: Engine) -> list[OpenWriter]:
    """Return write transactions that have been open for unusually long."""
    with translated(), engine.connect() as connection:
        return source.open_writers(connection, at_least=source.LONG)


def as_dicts(writers: list[OpenWriter]) -> list[dict[str, Any]]:
    """Return writers as JSON-serializable dictionaries."""
    return [writer.as_dict() for writer in writers]


def print_open_writers(writers: list[OpenWriter]) -> None:
    """Print writers and how to end them; nothing if there are none."""
    if not writers:
        return
    output.print("\nOpen write transactions")
    for writer in writers:
        print_paragraph(output, shown(str(writer)), indent="  ")
        if writer.categories:
            categories = shown(", ".join(writer.categories))
            print_paragraph(output, f"categories: {categories}", indent="    ")
        output.print(f"    to end it: {shown(writer.remedy)};")
    if any(writer.seconds is None for writer in writers):
        output.print("  Only members of pg_read_all_stats can see how long they have been open.")
