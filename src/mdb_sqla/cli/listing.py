"""Rows and facts printed within the width of the terminal, without cutting or folding values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from textwrap import fill

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

__all__ = ["bar", "print_facts", "print_flow", "print_paragraph", "print_table"]

_GAP = "  "
_INDENT = "    "
_BAR = 30  # characters
_SHORTEST_BAR = 10
_EIGHTHS = " ▏▎▍▌▋▊▉"


def print_table(
    console: Console,
    headers: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: Sequence[str] = (),
    bars: Sequence[float] | None = None,
) -> None:
    """Print a table, or a block for each row if the table is wider than the terminal.

    Args:
        console: where to print.
        headers: of the columns.
        rows: a cell for each header and then for each of the `numbers`; cells may have lines.
        numbers: headers of further columns, aligned to the right.
        bars: for each row, its share of the largest value, drawn at the end of the row.
    """
    columns, cells = [*headers, *numbers], [list(row) for row in rows]
    widths = [
        max(cell_len(line) for cell in column for line in cell.split("\n"))
        for column in zip(columns, *cells, strict=True)
    ]
    width = sum(widths) + len(_GAP) * (len(widths) - 1)
    if width > console.width:
        _print_blocks(console, columns, cells)
        return
    longest = min(_BAR, console.width - width - len(_GAP))
    console.print(Text(_line(columns, widths, len(headers)).rstrip(), style="bold"))
    for number, row in enumerate(cells):
        parts = [cell.split("\n") for cell in row]
        for at in range(max(map(len, parts))):
            line = [part[at] if at < len(part) else "" for part in parts]
            drawn = ""
            if bars is not None and at == 0 and longest >= _SHORTEST_BAR:
                drawn = bar(bars[number], longest)
            console.print((_line(line, widths, len(headers)) + _GAP + drawn).rstrip())


def print_facts(console: Console, facts: Mapping[str, str], *, indent: str = "") -> None:
    """Print names and values in two columns; further lines of a value are aligned."""
    width = max(map(cell_len, facts), default=0)
    for name, value in facts.items():
        first, *others = value.split("\n")
        margin = " " * (len(indent) + width + len(_GAP))
        lines = [
            f"{indent}{_padded(name, width)}{_GAP}{first}",
            *(margin + each for each in others),
        ]
        console.print("\n".join(lines))


def print_flow(console: Console, parts: Iterable[str | Text]) -> None:
    """Print parts on a line, and those that do not fit on indented lines below it."""
    line = Text()
    for part in parts:
        if line.plain.strip() and line.cell_len + len(_GAP) + _length(part) > console.width:
            console.print(line)
            line = Text(_INDENT)
        elif line:
            line.append(_GAP)
        line.append(part) if isinstance(part, str) else line.append_text(part)
    console.print(line)


def print_paragraph(console: Console, text: str, *, indent: str) -> None:
    """Print a text, breaking lines between words."""
    filled = fill(
        text,
        console.width,
        initial_indent=indent,
        subsequent_indent=indent + _INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    console.print(filled)


def bar(share: float, longest: int = _BAR) -> str:
    """Return a bar of blocks, `longest` characters for a share of 1."""
    eighths = round(min(share, 1) * longest * 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _print_blocks(console: Console, columns: Sequence[str], cells: list[list[str]]) -> None:
    for number, row in enumerate(cells):
        if number:
            console.print()
        print_facts(console, dict(zip(columns, row, strict=True)))


def _line(cells: Sequence[str], widths: Sequence[int], left: int) -> str:
    texts = (
        _padded(cell, width) if at < left else _padded(cell, width, right=True)
        for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return _GAP.join(texts)


def _padded(text: str, width: int, *, right: bool = False) -> str:
    spaces = " " * (width - cell_len(text))
    return spaces + text if right else text + spaces


def _length(part: str | Text) -> int:
    return cell_len(part) if isinstance(part, str) else part.cell_len
