"""Tracebacks without the frames of libraries."""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import mdb_sqla

__all__ = ["innermost", "trimmed"]

# With the margin of an exception group.
_FRAME = re.compile(
    r'(?P<margin>[ |]*)File "(?P<path>[^"\n]+)", line (?P<line>\d+), in (?P<function>.+)'
)
_REPEATED = "[Previous line repeated "

_OWN = f"{Path(mdb_sqla.__file__).parent}/"
_STANDARD = f"{sysconfig.get_path('stdlib')}/"
# Tracebacks of dead letters may come from other machines.
_INSTALLED = re.compile(
    r"^<frozen |[/\\](?:site|dist)-packages[/\\]"
    r"|[/\\]lib(?:64)?[/\\]python3[^/\\]*[/\\]|[/\\]Lib[/\\]"
)
_PACKAGE = re.compile(r"[/\\](?:site|dist)-packages[/\\](?P<name>[^/\\.]+)")
_KNOWN = {
    "alembic", "anyio", "asyncpg", "faststream", "mdb_sqla", "psycopg", "psycopg2",
    "psycopg_binary", "psycopg_c", "sqlalchemy", "tenacity",
}  # fmt: skip


def trimmed(text: str) -> str:
    """Return a traceback without the frames of libraries, noting how many were left out."""
    return "\n".join(_trimmed_lines(text.split("\n"), _criterion(text)))


def innermost(text: str) -> str | None:
    """Return where the last frame outside of libraries is, such as `/app/shop.py:12 in bill`."""
    is_library = _criterion(text)
    frames = (match for line in text.split("\n") if (match := _FRAME.fullmatch(line)))
    own = [match for match in frames if not is_library(match["path"])]
    return f"{own[-1]['path']}:{own[-1]['line']} in {own[-1]['function']}" if own else None


def _criterion(text: str) -> Callable[[str], bool]:
    """Return whether a path is a library's; an installed application is not one."""
    paths = [match["path"] for line in text.split("\n") if (match := _FRAME.fullmatch(line))]
    return _is_installed if not all(map(_is_installed, paths)) else _is_known


def _is_installed(path: str) -> bool:
    return path.startswith((_OWN, _STANDARD)) or _INSTALLED.search(path) is not None


def _is_known(path: str) -> bool:
    package = _PACKAGE.search(path)
    return _is_installed(path) if package is None else package["name"] in _KNOWN


def _trimmed_lines(lines: list[str], is_library: Callable[[str], bool]) -> Iterator[str]:
    left_out, margin, is_skipping = 0, "", False
    for line in lines:
        if match := _FRAME.fullmatch(line):
            margin = match["margin"]
            is_skipping = is_library(match["path"])
            left_out += is_skipping
        elif not line.startswith((f"{margin}  ", f"{margin}{_REPEATED}")) or not margin:
            # The frames end.
            if left_out:
                yield f"{margin}({left_out} library frame{'s' * (left_out != 1)} left out)"
            left_out, margin, is_skipping = 0, "", False
        if not is_skipping:
            yield line
    if left_out:
        yield f"{margin}({left_out} library frame{'s' * (left_out != 1)} left out)"
