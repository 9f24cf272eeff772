"""Numbers, times and sizes as people read and write them."""

from __future__ import annotations

from datetime import UTC, datetime

import typer
from rich.filesize import decimal

from mdb_sqla.words.durations import duration

__all__ = ["ago", "byte_size", "parse_global_position", "parse_position", "plural"]


def plural(number: int, noun: str) -> str:
    """Return a number with its noun, such as `1 message` or `4,711 messages`."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def ago(time: datetime) -> str:
    """Return how long ago a time was, such as `2 min 5 s ago`."""
    return f"{duration(round((datetime.now(UTC) - time).total_seconds()))} ago"


def byte_size(number: float) -> str:
    """Return a number of bytes in its largest unit, such as `1.5 MB`."""
    return decimal(round(number))


def parse_position(text: str | int) -> int:
    """Parse a position, with or without thousands separators.

    Raises:
        BadParameter: it is not an integer of at least 0.
    """
    return _integer(text, 0)


def parse_global_position(text: str | int) -> int:
    """Parse a global position, with or without thousands separators.

    Raises:
        BadParameter: it is not an integer of at least 1.
    """
    return _integer(text, 1)


def _integer(text: str | int, least: int) -> int:
    digits = str(text).replace(",", "")
    if not (digits.isascii() and digits.isdigit() and int(digits) >= least):
        raise typer.BadParameter(f"{text!r} is not an integer of at least {least}.")
    return int(digits)
