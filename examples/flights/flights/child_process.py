"""Processes that run a module of this package, and never outlive the one that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

__all__ = ["ChildProcess", "child_process", "stop_with_parent"]

ChildProcess = subprocess.Popen[bytes]

_PATIENCE = 5.0  # seconds for a graceful shutdown


@contextmanager
def child_process(module: str, **environment: str) -> Iterator[ChildProcess]:
    """Run a module that calls `stop_with_parent` until the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,  # closed when this process ends, however it ends
        start_new_session=True,  # Ctrl-C interrupts only this process, which stops the others
    )
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE)
        process.kill()
        process.communicate()


def stop_with_parent() -> None:
    """Send SIGTERM to this process when its standard input is closed."""

    def stop() -> None:
        # Not sys.stdin: at exit, Python would wait for its lock.
        os.read(0, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    Thread(target=stop, daemon=True).start()
