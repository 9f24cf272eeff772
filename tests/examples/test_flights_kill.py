"""`python -m flights` kills its first consumer process; no process outlives the command."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import URL, text

from tests.examples.command import PATIENCE, Command, connected, run, start, wait_until

COUNT = 1200

ARGUMENTS = ("-m", "flights", "--flights", str(COUNT))

CHECKPOINT = re.compile(r"^  (\w[\w ]*?) +([\d,]+) +([\d,]+) +([\d,]+) +([\d,]+)  (\w+)$", re.M)


@pytest.fixture
def database(databases: Any) -> Iterator[URL]:
    with databases.create() as url:
        yield url


def test_the_first_consumer_process_is_killed_halfway(database: URL) -> None:
    output = run(database, *ARGUMENTS)

    checkpoints = {
        event: ([int(figure.replace(",", "")) for figure in figures], verdict)
        for event, *figures, verdict in CHECKPOINT.findall(output)
    }
    assert list(checkpoints) == ["before the kill", "after the kill", "caught up"]
    assert {verdict for _, verdict in checkpoints.values()} == {"equal"}
    before, after, end = (figures for figures, _ in checkpoints.values())
    movements = end[2]
    for position, remaining, in_messages, in_table in (before, after):
        assert 0 < position < end[0]
        assert 0 < remaining <= movements // 2
        assert remaining + in_messages == movements
        assert in_table == in_messages
    assert end == [end[0], 0, movements, movements]

    (killed,) = re.findall(r"^  killed process (\d+) with SIGKILL$", output, re.M)
    assert f"  started process {killed}\n" in output
    with connected(database) as engine, engine.connect() as connection:
        statement = "SELECT consumer, member FROM message_store.consumer_members ORDER BY consumer"
        members = connection.execute(text(statement)).all()
    # A member that leaves its group deletes its row: only those of the killed process have not.
    assert [row.consumer for row in members] == ["airports", "fleet", "inspections", "maintenance"]
    assert f"-{killed}-" in members[0].member


def test_a_short_run_kills_nothing(database: URL) -> None:
    output = run(database, "-m", "flights", "--flights", "300")

    assert "fewer than 1,000 remain: no process is killed" in output
    assert "SIGKILL" not in output
    assert "Consumers caught up in" in output


def started(command: Command, processes: str) -> list[int]:
    """Wait until the command has started processes, and return the ids of all of them so far."""
    assert command.stdout is not None
    found: list[int] = []
    for line in command.stdout:
        if line.startswith("  started "):
            found += map(int, re.findall(r"\d+", line))
            if line.startswith(f"  started {processes} "):
                return found
    raise AssertionError(found)


@pytest.mark.parametrize("processes", ["process", "processes"])
def test_no_consumer_process_outlives_an_interrupted_command(database: URL, processes: str) -> None:
    with start(database, *ARGUMENTS, in_own_group=True) as command:
        found = started(command, processes)
        os.killpg(command.pid, signal.SIGINT)
        output, _ = command.communicate(timeout=PATIENCE)

    assert command.returncode == 130
    assert "Interrupted." in output
    assert "Traceback" not in output
    for process in found:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_no_consumer_process_outlives_a_killed_command(database: URL) -> None:
    with start(database, *ARGUMENTS) as command, connected(database) as engine:
        started(command, "processes")
        # Besides the member that was killed.
        wait_until(
            engine, "count(*) > 1 FROM message_store.consumer_members WHERE consumer = 'airports'"
        )
        command.kill()
        # Only this connection is left.
        wait_until(engine, "count(*) = 1 FROM pg_stat_activity WHERE datname = current_database()")
