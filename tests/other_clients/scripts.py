"""The shell tests of Message DB, run on a store."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import URL, NullPool, create_engine, text

from tests.other_clients.conftest import environment

# The same ids in each run. They need uuidgen, which is not on every machine anyway.
_UUIDGEN = """#!/bin/sh
read -r number < "$0.number"
echo "$((number + 1))" > "$0.number"
printf '%08x-0000-4000-8000-000000000000\\n' "$number"
"""

_DIFFERS = (
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?"), "<time>"),
    # What uuidgen has not made, gen_random_uuid() has.
    (re.compile(r"\b(?!\w{8}-0000-4000-8000-0{12})\w{8}-\w{4}-\w{4}-\w{4}-\w{12}\b"), "<id>"),
    # A time ends in fewer digits here and there, and a frame is as wide as its content.
    (re.compile(r"-{3,}"), "---"),
    (re.compile(r" +$", re.MULTILINE), ""),
)


@dataclass(frozen=True)
class Printed:
    """What a script has printed, without what differs from run to run."""

    status: int
    text: str

    @property
    def errors(self) -> list[str]:
        return re.findall(r"^(?:psql:.*)?(?:ERROR|FATAL):.*", self.text, re.MULTILINE)


def names(repository: Path) -> list[str]:
    """The scripts; those in folders that begin with `_` are not among the tests of test.sh."""
    files = (file.relative_to(repository) for file in (repository / "test").rglob("*.sh"))
    return sorted(str(file) for file in files if not any(part[0] == "_" for part in file.parts))


def run(repository: Path, database: URL, folder: Path) -> dict[str, Printed]:
    """Run all of them, one after another, as test.sh does, which stops at the first that fails."""
    psql = _find("psql", database)
    bash = _find("bash", database)
    uuidgen = folder / "uuidgen"
    uuidgen.write_text(_UUIDGEN)
    uuidgen.chmod(0o755)
    uuidgen.with_name("uuidgen.number").write_text("1\n")
    # Without DETAIL, where ours has an error's values for programs, and the original has nothing;
    # and CONTEXT, which names functions and lines.
    settings = folder / "psqlrc"
    settings.write_text("\\set QUIET on\n\\set VERBOSITY terse\n")
    path = os.pathsep.join([str(folder), str(Path(psql).parent), os.environ["PATH"]])
    surroundings = {
        **environment(database),
        "PATH": path,
        "PSQLRC": str(settings),
        "LC_ALL": "C",
    }
    return {name: _run(bash, name, repository, surroundings) for name in names(repository)}


def _run(bash: str, name: str, repository: Path, surroundings: dict[str, str]) -> Printed:
    done = subprocess.run(
        [bash, name],
        cwd=repository,
        env=surroundings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    printed = done.stdout
    for pattern, instead in _DIFFERS:
        printed = pattern.sub(instead, printed)
    return Printed(done.returncode, printed)


def _find(name: str, database: URL) -> str:
    """Return where a program is; psql may be beside the server. Without it the test is skipped."""
    with create_engine(database, poolclass=NullPool).connect() as connection:
        folder = connection.scalar(text("SELECT setting FROM pg_config WHERE name = 'BINDIR'"))
    found = shutil.which(name) or shutil.which(name, path=folder)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found
