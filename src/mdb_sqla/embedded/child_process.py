"""Programs that end with the process that has started them, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakSet

__all__ = ["end", "start"]

# Becomes a program, beside which a watcher waits for a line that says that the program has ended.
# If there's no line, but nobody holds the other end of the standard input any more, the process at
# that end is dead, however it died: the watcher interrupts the program, and removes two folders.
# The watcher is no child of the program, for PostgreSQL minds what becomes of its children.
_SUPERVISE = """
folder=$1 other=$2; shift 2
exec 3<&0 </dev/null
(
    trap '' HUP INT TERM
    {
        read line && exit
        while kill -INT $$ && ! grep -q '^State:.*Z' /proc/$$/status; do sleep 1; done
        rm -rf "$folder" "$other"
    } <&3 >/dev/null 2>&1 &
)
exec "$@" 3<&-
"""

_supervised: WeakSet[subprocess.Popen[bytes]] = WeakSet()


def _let_go() -> None:
    for process in _supervised:
        if process.stdin:
            process.stdin.close()


if hasattr(os, "register_at_fork"):
    # A fork would hold that end beyond the life of the process that started the server.
    os.register_at_fork(after_in_child=_let_go)


def start(
    folder: Path, other: Path, command: list[str], surroundings: dict[str, Any]
) -> subprocess.Popen[bytes]:
    """Start a program, which logs into a folder; with this process, it and both folders go."""
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", _SUPERVISE, "sh", str(folder), str(other), *command],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Control-C is for this process alone to handle
            **surroundings,
        )
    _supervised.add(process)
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        # Both initdb and postgres take it as the order to end quickly and cleanly; again and again,
        # because it may come before they listen.
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(1)
    process.communicate(b"\n")
