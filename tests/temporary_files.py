"""One folder for all temporary files of a run, which is removed however the run ends."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

_FOLDER = pytest.StashKey[Path]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Have this process and all that it starts put temporary files into one folder."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    # An order to end is as good as Control-C: what was started ends, and is removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="mdb_sqla-run-"))
    folder.chmod(0o1777)  # servers of another user have theirs in it
    config.stash[_FOLDER] = folder
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    if _FOLDER in config.stash:
        shutil.rmtree(config.stash[_FOLDER], ignore_errors=True)
