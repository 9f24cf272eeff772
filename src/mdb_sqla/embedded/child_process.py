"""Child processes that end with the process that started them, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakSet

__all__ = ["end", "start"]

# The script replaces itself with the program, and leaves a watcher behind that waits for a line on
# standard input, which means that the program has ended. End of file without a line means that the
# process that started the program is dead: the watcher then interrupts the program and removes two
# folders. The watcher is not a child of the program, because PostgreSQL monitors its children.
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


def _close_pipes() -> None:
    for process in _supervised:
        if process.stdin:
            process.stdin.close()


if hasattr(os, "register_at_fork"):
    # A forked child would keep the pipe open after the process that started the server has ended.
    os.register_at_fork(after_in_child=_close_pipes)


def start(
    folder: Path, other: Path, command: list[str], options: dict[str, Any]
) -> subprocess.Popen[bytes]:
    """Start a program that logs to `folder`.

    When this process ends, the program is stopped, and both folders are removed.
    """
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", _SUPERVISE, "sh", str(folder), str(other), *command],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C must reach only this process
            **options,
        )
    _supervised.add(process)
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        # initdb and postgres shut down fast and cleanly on SIGINT. It is repeated, because the
        # first signal may arrive before they can handle it.
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(1)
    process.communicate(b"\n")
