"""Ends the brokers of a test process that died, however it died, and removes their folders.

It's a program of its own, which reads on its standard input what there is to end:
`+ kind what` for something new, `- kind what` for what is gone, where the kind is `group`, with the
number of a process group, or `folder`. At the end of the input nobody is left who could end it.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from contextlib import suppress

PATIENCE = 5.0  # seconds


def main() -> None:
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    left: dict[tuple[str, str], None] = {}
    for line in sys.stdin:
        sign, kind, what = line.rstrip("\n").split(" ", 2)
        if sign == "+":
            left[kind, what] = None
        else:
            left.pop((kind, what), None)
    for kind, what in left:
        if kind == "group":
            with suppress(ProcessLookupError):
                os.killpg(int(what), signal.SIGKILL)
    # A killed process may still make a file or two.
    folders = [what for kind, what in left if kind == "folder"]
    deadline = time.monotonic() + PATIENCE
    while any(map(os.path.exists, folders)) and time.monotonic() < deadline:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
