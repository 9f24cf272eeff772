"""Commands in the directory of the flights example, and the database that they use."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, NullPool, create_engine, text

EXAMPLE = Path(__file__).parents[2] / "examples" / "flights"

PATIENCE = 120  # seconds

Command = subprocess.Popen[str]


def start(database: URL, *arguments: str, in_own_group: bool = False) -> Command:
    # The command would inherit ignored interrupts from tests in the background of a shell.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    environment = {
        **os.environ,
        "FLIGHTS_DATABASE_URL": database.render_as_string(hide_password=False),
        "COLUMNS": "100",
    }
    return subprocess.Popen(
        [sys.executable, "-W", "error", *arguments],
        cwd=EXAMPLE,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=in_own_group,
    )


def run(database: URL, *arguments: str, status: int = 0) -> str:
    with start(database, *arguments) as command:
        output, _ = command.communicate(timeout=300)
    assert command.returncode == status, output
    return output


@contextmanager
def connected(database: URL) -> Iterator[Engine]:
    engine = create_engine(database, poolclass=NullPool)
    yield engine
    engine.dispose()


def wait_until(database: Engine, condition: str) -> Any:
    """Wait until a condition in the database is neither NULL, 0 nor false, and return it."""
    deadline = time.monotonic() + PATIENCE
    with database.connect() as connection:
        while not (found := connection.scalar(text(f"SELECT {condition}"))):
            assert time.monotonic() < deadline, condition
            connection.rollback()
            time.sleep(0.01)
        return found


def printed_totals(output: str) -> dict[str, tuple[int, int, str]]:
    """The table at the end, which compares messages and tables."""
    lines = re.findall(r"^ (\w[\w ]*?) +([\d,]+) +([\d,]+) +(equal|different) *$", output, re.M)
    return {
        name: (int(in_messages.replace(",", "")), int(in_tables.replace(",", "")), verdict)
        for name, in_messages, in_tables, verdict in lines
    }
