"""The repository of another project, at one commit."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

_CLONES = "MDB_OTHER_CLIENTS"
_SECONDS = 20.0  # for each step, of which one needs the network


@dataclass(frozen=True)
class Repository:
    """A repository on GitHub; or its clone in the folder that MDB_OTHER_CLIENTS names."""

    owner: str
    name: str
    commit: str

    def check_out(self, folder: Path) -> Path:
        """Fetch the commit into a folder; the test is skipped where GitHub can't be reached."""
        clones = os.environ.get(_CLONES)
        source = (
            str(Path(clones).resolve() / self.name)
            if clones
            else f"https://github.com/{self.owner}/{self.name}.git"
        )
        why = (
            _git("init", "--quiet", str(folder), cwd=folder)
            or _git("fetch", "--quiet", "--depth=1", source, self.commit, cwd=folder)
            or _git("checkout", "--quiet", "FETCH_HEAD", cwd=folder)
        )
        if why and clones:
            pytest.fail(f"{_CLONES} has no clone of {self.name} with {self.commit}: {why}")
        if why:
            pytest.skip(f"{self.name} can't be fetched, and {_CLONES} is not set: {why}")
        return folder


def _git(*arguments: str, cwd: Path) -> str:
    """Run git; return why it failed, or nothing."""
    environment = {name: os.environ[name] for name in os.environ if not name.startswith("GIT_")}
    try:
        process = subprocess.Popen(
            ["git", *arguments],
            cwd=cwd,
            env={**environment, "GIT_TERMINAL_PROMPT": "0"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    except FileNotFoundError:
        return "git is not installed"
    with process:
        try:
            _, why = process.communicate(timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            # With the process that git has started to talk to GitHub.
            os.killpg(process.pid, signal.SIGKILL)
            return f"it takes more than {_SECONDS:g} seconds"
    return why.strip() or "?" if process.returncode else ""
