"""How commands print: JSON for programs, and numbers for people."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

import typer

__all__ = ["Json", "bytes_in_words", "print_json"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

_STEP = 1024


def print_json(value: Any) -> None:
    """Print a value as JSON, as it is: rich would read markup and emoji in it."""
    typer.echo(json.dumps(value, default=_plain, ensure_ascii=False, indent=2))


def bytes_in_words(number: float) -> str:
    """Return a number of bytes in the largest unit that it has one of."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < _STEP:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= _STEP
    return f"{number:.1f} TiB"


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{value!r} can't be JSON")
