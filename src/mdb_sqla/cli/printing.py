"""Output of the commands: JSON, and text of any kind."""

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

__all__ = ["Json", "binary_output", "print_json", "shown"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

# Terminal control characters and bidirectional formatting.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def print_json(value: Any) -> None:
    """Print a value as JSON, without rich's markup and emoji."""
    text = json.dumps(value, default=_plain, ensure_ascii=False, indent=2)
    with binary_output() as output:
        output.write(f"{text}\n".encode())


@contextmanager
def binary_output() -> Iterator[BinaryIO]:
    """Yield stdout in binary, for UTF-8 regardless of the terminal's encoding.

    It is buffered: with PYTHONUNBUFFERED, a raw write may be incomplete.
    """
    sys.stdout.flush()
    with open(sys.stdout.fileno(), "wb", closefd=False) as output:
        yield output


def shown(text: str, *, lines: bool = False) -> str:
    r"""Return a text with control characters escaped as in JSON; `lines` keeps \n."""

    def escaped(match: re.Match[str]) -> str:
        return "\n" if lines and match[0] == "\n" else json.dumps(match[0])[1:-1]

    return _CONTROL.sub(escaped, text)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{value!r} is not JSON serializable")
