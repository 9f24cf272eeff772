"""Folders that a server of another user can reach, as pytest's own can't be for root's tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def open_folder() -> Iterator[Path]:
    """Make a folder that every user may enter."""
    with TemporaryDirectory(prefix="mdb_sqla-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
