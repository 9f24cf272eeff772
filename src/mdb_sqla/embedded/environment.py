"""The server's user, temporary directory and lock file."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from mdb_sqla.embedded.errors import EmbeddedPostgresError

if TYPE_CHECKING:
    import pwd

__all__ = ["lock_file_of", "status_of", "temporary_root", "unprivileged_user"]


def unprivileged_user() -> pwd.struct_passwd | None:
    """Return the user to run the server as if this process runs as root; otherwise None."""
    if sys.platform == "win32":
        raise EmbeddedPostgresError("The embedded server does not support Windows: use WSL")
    if os.geteuid() != 0:
        return None
    import pwd  # not available on Windows, where this module must still be importable

    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def temporary_root() -> Path:
    root = Path(tempfile.gettempdir())
    # A socket path has at most 103 bytes on macOS, 107 on Linux; 32 are appended to this.
    return root if len(os.fsencode(root)) <= 71 else Path("/tmp")  # noqa: S108


def lock_file_of(data: Path) -> list[str]:
    """Return the lines of the server's lock file in a data directory; empty if there is none."""
    try:
        content = (data / "postmaster.pid").read_bytes()
    except FileNotFoundError:
        return []
    return [line.strip() for line in os.fsdecode(content).split("\n")]


def status_of(data: Path) -> str:
    """Return the status of a running server in a data directory; empty if there is none."""
    lines = lock_file_of(data)
    try:
        os.kill(int(lines[0]), 0)
        return lines[7]
    except (OSError, IndexError, ValueError):
        return ""
