"""Consumption in processes, the first of which is killed halfway."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from time import monotonic
from typing import Protocol, TypeVar

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from flights.checkpoint import Checkpoint
from flights.child_process import ChildProcess, child_process
from flights.consumer_results import ConsumerResults

__all__ = ["PATIENCE", "ConsumersFailed", "Report", "consume", "has_caught_up"]

PATIENCE = 30.0
"""Seconds without progress; processes have to start, and after a kill a lease has to expire."""

_ENOUGH_TO_KILL = 1000  # departures and arrivals
_PROCESSES = 2

_T = TypeVar("_T")


class ConsumersFailed(Exception):
    """A consumer process ended unexpectedly."""


class Report(Protocol):
    """Called with each event, and with a checkpoint where one was read."""

    def __call__(self, event: str, checkpoint: Checkpoint | None = None) -> object: ...


def has_caught_up(engine: Engine) -> bool:
    """Whether the consumers have handled all messages."""
    with Session(engine) as session:
        return not ConsumerResults.read(session).differing()


def consume(engine: Engine, report: Report) -> bool:
    """Run the consumers until they have caught up; kill the first process halfway.

    Returns:
        Whether they have caught up; otherwise they have made no progress for some time.

    Raises:
        ConsumersFailed: a process has failed; it has logged why.
    """
    with Session(engine) as session:
        remaining = Checkpoint.read(session).remaining
    if remaining >= _ENOUGH_TO_KILL:
        _kill_halfway(engine, remaining // 2, report)
    else:
        report(f"fewer than {_ENOUGH_TO_KILL:,} remain: no process is killed")
    with ExitStack() as stack:
        processes = [stack.enter_context(_consumers(engine)) for _ in range(_PROCESSES)]
        report(f"started processes {' and '.join(str(process.pid) for process in processes)}")
        for results in _watch(engine, processes, ConsumerResults.read, pause=0.3):
            if not results.differing():
                break
        else:
            return False
    with Session(engine) as session:
        report("caught up", Checkpoint.read(session))
    return True


def _kill_halfway(engine: Engine, halfway: int, report: Report) -> None:
    with _consumers(engine) as process:
        report(f"started process {process.pid}")
        for checkpoint in _watch(engine, [process], Checkpoint.read, pause=0.01):
            if checkpoint.remaining <= halfway:
                break
        process.kill()
        process.wait()
        report("before the kill", checkpoint)
        report(f"killed process {process.pid} with SIGKILL")
        with Session(engine) as session:
            report("after the kill", Checkpoint.read(session))


def _consumers(engine: Engine) -> AbstractContextManager[ChildProcess]:
    url = engine.url.render_as_string(hide_password=False)
    return child_process("flights.consumers", FLIGHTS_DATABASE_URL=url)


def _watch(
    engine: Engine,
    processes: Sequence[ChildProcess],
    read: Callable[[Session], _T],
    pause: float,
) -> Iterator[_T]:
    """Yield the current state repeatedly, until it has not changed for some time."""
    last, deadline = None, 0.0
    while True:
        with Session(engine) as session:
            current = read(session)
        yield current
        if current != last:
            last, deadline = current, monotonic() + PATIENCE
        elif monotonic() > deadline:
            return
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                status = process.wait(pause / len(processes))
                raise ConsumersFailed(f"Consumer process {process.pid} exited with status {status}")
