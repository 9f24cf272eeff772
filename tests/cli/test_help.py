"""Help pages, versions and completion."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer

import mdb_sqla
import mdb_sqla.cli
from tests.cli.in_process import run

NARROW = {"COLUMNS": "80", "NO_COLOR": "1"}
GROUPS = {("archive",), ("dead-letters",), ("projections",), ("retention",), ("types",)}
PANELS = {
    "Store": ["upgrade", "create-database", "clear", "lock-granularity"],
    "Messages": ["write", "print", "tail", "export", "import", "retention"],
    "Consumers": [
        "host",
        "relay",
        "consumers",
        "pause-consumer",
        "resume-consumer",
        "reset-consumer",
        "delete-consumer",
        "dead-letters",
        "projections",
    ],
    "Reports": [
        "web",
        "summary",
        "report",
        "operations",
        "verify",
        "benchmark",
        "metrics",
        "version",
    ],
    "Development": ["dev", "demo"],
    "Options": ["--version", "--install-completion", "--help"],
}


def commands() -> Iterator[tuple[str, ...]]:
    def below(command: Any, *names: str) -> Iterator[tuple[str, ...]]:
        yield names
        for name, each in getattr(command, "commands", {}).items():
            yield from below(each, *names, name)

    yield from below(typer.main.get_command(mdb_sqla.cli._app()))


def help_of(*names: str) -> list[str]:
    done = run([*names, "--help"], NARROW)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_all_commands_are_on_one_screen() -> None:
    lines = help_of()

    assert len(lines) <= 50
    found: dict[str, list[str]] = {}
    panel = ""
    for line in lines:
        if line.endswith("──"):
            panel = line.split()[0]
        elif line.startswith(" ") and panel:
            found.setdefault(panel, []).append(line.split()[0])
    assert found.keys() == PANELS.keys()
    for name, rows in PANELS.items():
        assert set(rows) <= set(found[name])
    listed = {name for rows in found.values() for name in rows}
    assert {names[0] for names in commands() if names} <= listed


@pytest.mark.parametrize("names", list(commands()), ids=" ".join)
def test_a_page_is_plain(names: tuple[str, ...]) -> None:
    lines = help_of(*names)

    text = "\n".join(lines)
    for odd in ("bool", "BOOL", "[[", "]]", "…"):
        assert odd not in text
    assert max(map(len, lines)) <= 80
    if names and names not in GROUPS:
        _usage, summary, *_ = [line.strip() for line in lines if line.strip()]
        assert len(summary) <= 60
        assert summary.endswith(".")
        examples = [line.strip() for line in lines if "Example: " in line]
        assert examples[0].startswith(f"Example: mdb {' '.join(names)}")
        # None is continued on the next line.
        assert all(lines[lines.index(f" {each}".ljust(80)) + 1].isspace() for each in examples)


def test_versions() -> None:
    text = version("mdb_sqla")

    assert mdb_sqla.__version__ == text
    assert run(["--version"], NARROW).stdout == f"mdb_sqla {text}\n"
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        mdb_sqla.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_the_version_is_not_looked_up_by_an_import() -> None:
    code = "import sys, mdb_sqla; before = set(vars(mdb_sqla)); print('__version__' in before)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"


def test_as_a_module(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mdb_sqla", "--help"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert done.stdout.startswith("Usage: mdb [OPTIONS] COMMAND")
    assert "upgrade" in done.stdout


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        ("mdb cons", ["consumers"]),
        ("mdb dead-letters s", ["skip"]),
        ("mdb retention d", ["delete"]),
        ("mdb report category", ["category-type"]),
        ("mdb print --verb", ["--verbose"]),
        ("mdb lock-granularity c", ["category"]),
    ],
)
def test_completion(words: str, completions: list[str]) -> None:
    number = str(len(words.split()) - 1)
    environment = {"_MDB_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": number}

    assert run([], environment).stdout.split() == completions


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_completion_of_a_shell(tmp_path: Path) -> None:
    """The script is printed and installed for the shell that asks, and completes there."""
    mdb = Path(sys.executable).with_name("mdb")
    script = f'{mdb} --show-completion bash; echo "$?"'
    shown = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=True
    ).stdout.splitlines()

    assert shown[-1] == "0"
    assert "complete -o default -F _mdb_completion mdb" in shown

    install = f'{mdb} --install-completion; echo "$?"'
    environment = {"HOME": str(tmp_path), "PATH": f"{mdb.parent}:/usr/bin:/bin"}
    subprocess.run(["bash", "-c", install], env=environment, capture_output=True, check=True)
    ask = "source ~/.bashrc; COMP_WORDS=(mdb cons) COMP_CWORD=1; _mdb_completion mdb; "
    completed = subprocess.run(
        ["bash", "-c", f'{ask} echo "${{COMPREPLY[@]}}"'],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert completed.stdout == "consumers\n"
