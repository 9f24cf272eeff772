"""How commands print: JSON for programs, and numbers for people."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, BinaryIO

import typer
from rich.table import Column, Table

__all__ = ["Json", "binary_output", "bytes_in_words", "print_json", "shown", "table"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

_STEP = 1024

# A terminal obeys some of these, and others change the order of what is around them.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def print_json(value: Any) -> None:
    """Print a value as JSON, as it is: rich would read markup and emoji in it."""
    text = json.dumps(value, default=_plain, ensure_ascii=False, indent=2)
    with binary_output() as output:
        output.write(f"{text}\n".encode())


@contextmanager
def binary_output() -> Iterator[BinaryIO]:
    """Give stdout for JSON, which is UTF-8, whatever the terminal's encoding is.

    With a buffer: where PYTHONUNBUFFERED has taken Python's own, a write may be of a part only.
    """
    sys.stdout.flush()
    with open(sys.stdout.fileno(), "wb", closefd=False) as output:
        yield output


def shown(text: str, *, lines: bool = False) -> str:
    """Return a text with its control characters as JSON writes them; `lines` stay if they may."""

    def escaped(match: re.Match[str]) -> str:
        return "\n" if lines and match[0] == "\n" else json.dumps(match[0])[1:-1]

    return _CONTROL.sub(escaped, text)


def table(*headers: str, numbers: tuple[str, ...] = ()) -> Table:
    """Return a table; what is too long for a terminal goes on in the next line of its cell."""
    return Table(
        *(Column(header, overflow="fold") for header in headers),
        *(Column(number, justify="right", no_wrap=True) for number in numbers),
        box=None,
    )


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
