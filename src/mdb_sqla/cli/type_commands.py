"""Commands for message types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from mdb_sqla.cli.application_objects import loaded
from mdb_sqla.cli.options import FAILED, errors, opened, output, refuse
from mdb_sqla.cli.printing import print_json, shown
from mdb_sqla.message_types import MessageTypes, incompatibilities

__all__ = ["check", "export"]

Where = Annotated[
    str, typer.Argument(metavar="MODULE:NAME", help="The MessageTypes, such as shop.events:types.")
]


def export(where: Where) -> None:
    """Print the JSON Schema of all message types.

    Example: mdb types export shop.events:types > message-types.json
    """
    print_json(loaded(where, MessageTypes, "types").schema())


def check(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The schemas that `mdb types export` printed.")
    ],
    where: Where,
) -> None:
    """Check that recorded messages can still be decoded.

    Compares the message types with those of an earlier export. A field may be added if it has a
    default; other changes need an upcaster. Exits with status 1 if a change is incompatible.

    Example: mdb types check message-types.json shop.events:types
    """
    found = list(incompatibilities(_read(file), loaded(where, MessageTypes, "types").schema()))
    for each in found:
        errors.print(f"mdb: {shown(each)}", style="red")
    if found:
        raise SystemExit(FAILED)
    output.print("Messages of all recorded types can be decoded.")


def _read(file: Path) -> dict[str, Any]:
    with opened(file) as lines:
        try:
            recorded: dict[str, Any] = json.load(lines)
            is_export = all({"version", "schema"} <= each.keys() for each in recorded.values())
        except (ValueError, AttributeError):
            is_export = False
    if not is_export:
        refuse(f"{file} is not an export of message types")
    return recorded
