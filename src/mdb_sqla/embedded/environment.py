"""What a server finds around itself: the user it runs as, folders, and what it notes in its own."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from mdb_sqla.embedded.errors import EmbeddedPostgresError

if TYPE_CHECKING:
    import pwd

__all__ = ["notes_of", "status_of", "temporary_root", "unprivileged_user"]


def unprivileged_user() -> pwd.struct_passwd | None:
    """Return the user that root runs the server as; None if this process isn't root's."""
    if sys.platform == "win32":
        raise EmbeddedPostgresError("On Windows there is no embedded server; WSL has one")
    if os.geteuid() != 0:
        return None
    import pwd  # Windows has none, and can import this module all the same

    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def temporary_root() -> Path:
    root = Path(tempfile.gettempdir())
    # The path of a socket has at most 103 bytes on macOS, 107 on Linux; 32 are added to this.
    return root if len(os.fsencode(root)) <= 71 else Path("/tmp")  # noqa: S108


def notes_of(data: Path) -> list[str]:
    """Return what the server in a data folder has noted down about itself, if there is one."""
    try:
        notes = (data / "postmaster.pid").read_bytes()
    except FileNotFoundError:
        return []
    return [line.strip() for line in os.fsdecode(notes).split("\n")]


def status_of(data: Path) -> str:
    """Return what a living server in a data folder says that it does; nothing if there is none."""
    notes = notes_of(data)
    try:
        os.kill(int(notes[0]), 0)
        return notes[7]
    except (OSError, IndexError, ValueError):
        return ""
