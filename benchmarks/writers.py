"""Writers side by side."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, ExitStack, contextmanager
from multiprocessing.synchronize import Barrier
from time import monotonic
from typing import Protocol

__all__ = ["Crew", "Writer"]

# Threads of one process would wait for each other, and not for the server.
_PROCESSES = 4
_PATIENCE = 60.0  # seconds
_WARMING_UP = 3

Write = Callable[[], object]


class Writer(Protocol):
    """What one of the writers does; it is sent to other processes."""

    def opened(self, number: int) -> AbstractContextManager[Write]:
        """Connect as the writer of this number, and give what it does again and again."""


class Crew:
    """Some processes that writers run in, each writer a thread."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    @classmethod
    @contextmanager
    def hired(cls) -> Iterator[Crew]:
        spawn = multiprocessing.get_context("spawn")
        barrier = spawn.Barrier(_PROCESSES)
        with ProcessPoolExecutor(_PROCESSES, spawn, _meet_at, (barrier,)) as pool:
            yield cls(pool)

    def rate(self, writer: Writer, number: int, seconds: float) -> float:
        """Return how many writes a second that many writers finish."""
        shares = [range(first, number, _PROCESSES) for first in range(_PROCESSES)]
        tasks = [self._pool.submit(_write, writer, share, seconds) for share in shares]
        return (
            sum(
                # The first that fails knows why; the others wait for it in vain.
                task.result()
                for task in as_completed(tasks)
            )
            / seconds
        )


_barrier: Barrier


def _meet_at(barrier: Barrier) -> None:
    global _barrier
    _barrier = barrier


def _write(writer: Writer, numbers: Sequence[int], seconds: float) -> int:
    with ExitStack() as stack:
        try:
            writes = [stack.enter_context(writer.opened(number)) for number in numbers]
            for write in writes:
                for _ in range(_WARMING_UP):
                    write()
            _barrier.wait(_PATIENCE)
        except BaseException:
            _barrier.abort()
            raise
        deadline = monotonic() + seconds
        with ThreadPoolExecutor(len(writes)) as threads:
            return sum(threads.map(lambda write: _finished(write, deadline), writes))


def _finished(write: Write, deadline: float) -> int:
    number = 0
    while True:
        write()
        if monotonic() > deadline:
            return number
        number += 1
