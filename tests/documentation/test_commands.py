"""The commands of `mdb` in the documentation, of unit files and containers too, are accepted."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import mdb_sqla.cli

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/README.md")]
COMMAND = re.compile(r"^(?:    |\$ )(mdb .+)$", re.MULTILINE)
BASH = re.compile(r"^```bash\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND_IN_BASH = re.compile(r"^(mdb .+)$", re.MULTILINE)
UNIT = re.compile(r"^ExecStart=/.*/(mdb .+)$", re.MULTILINE)
CONTAINER = re.compile(r'command:?\s+`?(\["mdb", [^\]]+\])')


def commands_in(text: str) -> Iterator[str]:
    yield from COMMAND.findall(text)
    for block in BASH.findall(text):
        yield from COMMAND_IN_BASH.findall(block)
    yield from UNIT.findall(text)
    for words in CONTAINER.findall(text):
        yield shlex.join(json.loads(words))


def commands() -> list[str]:
    return sorted({each for page in PAGES for each in commands_in(page.read_text("utf-8"))})


def test_there_are_some() -> None:
    assert len(commands()) > 10


@pytest.mark.parametrize("command", commands())
def test_it_is_taken(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MDB_DATABASE_URL", "postgresql://localhost/shop")
    taken: Any = typer.main.get_command(mdb_sqla.cli._app())
    name, *arguments = shlex.split(command.partition(" > ")[0])
    while hasattr(taken, "commands"):
        name = arguments.pop(0)
        taken = taken.commands[name]

    # Reads the arguments, and raises what would be printed if they were wrong; nothing is run.
    taken.make_context(name, arguments)
