"""Processes that end with this one, and free ports for them."""

from __future__ import annotations

import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock


def _ports() -> Iterator[int]:
    """Yield ports that no worker started with this one yields, each once.

    They are below the ports that Linux and macOS give to outgoing connections: one of those could
    take the port of a broker that is down, even a client's that looks for this very broker. They
    are also below those of embedded servers.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    ports = range(10_000 + worker, 15_000, workers)
    yield from random.sample(ports, len(ports))


_unused_ports = _ports()


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on, or is about to listen on."""
    for port in _unused_ports:
        with socket.socket() as listener:
            # As the brokers do: a port is free though connections to it were closed just now.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                listener.bind(("127.0.0.1", port))
                return port
    raise RuntimeError("no port of the tests' brokers is left")


class _Reaper:
    """The program `reaper`, started when there is first something to tell it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = Lock()

    def tell(self, sign: str, kind: str, what: object) -> None:
        with self._lock:
            if self._process is None:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", Path(__file__).with_name("reaper.py")],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    bufsize=0,
                    start_new_session=True,  # Control-C is for this process alone to handle
                )
                atexit.register(self._end)
            assert self._process.stdin is not None
            self._process.stdin.write(f"{sign} {kind} {what}\n".encode())

    def forget(self) -> None:
        """Let go of it in a fork, which would hold the pipe beyond the life of its parent."""
        if self._process is not None and self._process.stdin is not None:
            atexit.unregister(self._end)
            self._process.stdin.close()

    def _end(self) -> None:
        assert self._process is not None
        self._process.communicate()


_reaper = _Reaper()
os.register_at_fork(after_in_child=_reaper.forget)


def make_folder() -> Path:
    """Make a temporary folder that goes with this process at the latest."""
    # The paths of sockets in it are short, wherever the tests' own folders are.
    folder = Path(tempfile.mkdtemp(prefix="mdb_sqla-", dir="/tmp"))
    _reaper.tell("+", "folder", folder)
    return folder


def remove_folder(folder: Path) -> None:
    shutil.rmtree(folder)
    _reaper.tell("-", "folder", folder)


class Process:
    """A program and what it starts, in a process group of its own that ends with this process.

    Args:
        command: the program and its arguments.
        log: the file to which its output is appended.
        environment: variables beside those of this process.
        folder: the working directory.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        environment: Mapping[str, str] | None = None,
        folder: str | Path = "/",
    ) -> None:
        with log.open("ab") as output:
            # It waits for a line, so that it does not run before the reaper knows of it.
            process = subprocess.Popen(
                ["/bin/sh", "-c", 'read -r go && exec "$@" </dev/null', "sh", *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env={**os.environ, **(environment or {})},
                cwd=folder,
                start_new_session=True,
            )
        assert process.stdin is not None
        self._process = process
        _reaper.tell("+", "group", process.pid)
        process.stdin.write(b"\n")
        process.stdin.close()

    @property
    def status(self) -> int | None:
        """With what it ended; None while it runs."""
        return self._process.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole group."""
        os.killpg(self._process.pid, number)

    def pause(self) -> None:
        """Stop the group (SIGSTOP), and return once its first process stands still."""
        self.signal(signal.SIGSTOP)
        # The signal alone leaves it the time for an answer. How it ended is left to be waited for.
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def end(self, patience: float = 0.0) -> None:
        """End the group, at once or with so many seconds to do it by itself."""
        if patience and self.status is None:
            self.signal(signal.SIGCONT)
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)
        # Once it has been waited for, its number may be another's.
        if self.status is None:
            self.signal(signal.SIGKILL)
            self._process.wait()
        _reaper.tell("-", "group", self._process.pid)
