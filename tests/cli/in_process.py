"""The command `mdb` in the tests' own process: to start another takes longer than most of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from tempfile import TemporaryFile
from unittest.mock import patch

from mdb_sqla.cli import main


def run(
    arguments: list[str],
    environment: Mapping[str, str],
    *,
    answer: str = "",
    tool: str = "mdb",
    entry_point: Callable[[], object] = main,
) -> subprocess.CompletedProcess[str]:
    """Run a command as a process would, with its input and output in files.

    Args:
        arguments: what follows its name.
        environment: variables beside those of this process.
        answer: what it reads from stdin.
        tool: its name.
        entry_point: what the script of this name calls.
    """
    code: object = 0
    with (
        TemporaryFile("w+", encoding="utf-8") as stdin,
        TemporaryFile("w+", encoding="utf-8") as stdout,
        TemporaryFile("w+", encoding="utf-8") as stderr,
        patch.dict(os.environ, environment),
        patch.object(sys, "argv", [tool, *arguments]),
        patch.object(sys, "stdin", stdin),
        redirect_stdout(stdout),
        redirect_stderr(stderr),
        _kept_signals(),
    ):
        stdin.write(answer)
        stdin.seek(0)
        try:
            entry_point()
        except SystemExit as end:
            code = end.code or 0
        stdout.seek(0)
        stderr.seek(0)
        assert isinstance(code, int), code
        return subprocess.CompletedProcess(arguments, code, stdout.read(), stderr.read())


@contextmanager
def _kept_signals() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)
