"""Processes that are killed and paused, and a database that crashes, while something writes to it.

For tests that run for some seconds, or for hours.
"""

from __future__ import annotations

import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from mdb_sqla import Message, MessageStore
from tests.crashing import CrashingServer
from tests.folders import open_folder

__all__ = ["LEASE", "PATIENCE", "Processes", "Writer", "crashing_server", "dealt", "pause"]

LEASE = 1.0
"""Of those who share the work, in seconds."""

PATIENCE = 90.0
"""For how many seconds tests wait for what is to end soon."""

_ENDED = {0, -signal.SIGTERM}
"""What a process ends with that was told to: the signal itself, where it has not begun yet."""


@contextmanager
def crashing_server(request: pytest.FixtureRequest) -> Iterator[CrashingServer]:
    """A PostgreSQL server that no other test uses."""
    where = request.config.getoption("--postgres")
    if where == "docker":
        pytest.skip("Needs PostgreSQL's programs, to start a server")
    with open_folder() as folder:
        server = CrashingServer(folder, Path(where) if where else None)
        server.start()
        yield server
        server.stop()


def dealt(names: Sequence[str], seconds: float, chance: random.Random) -> Iterator[str]:
    """Deal names, each about as often, for so many seconds, and until each has been dealt."""
    deadline = time.monotonic() + seconds
    deck, missing = list[str](), set(names)
    while time.monotonic() < deadline or missing:
        threading.Event().wait(chance.random() * 1.5)
        deck = deck or chance.sample(names, len(names))
        missing.discard(deck[-1])
        yield deck.pop()


def pause(chance: random.Random) -> None:
    """Wait for about as long as a lease."""
    threading.Event().wait(LEASE * (0.5 + 1.5 * chance.random()))


class Processes:
    """Some that do the same, each of which is started again when it has ended.

    Args:
        number: how many.
        launch: starts one; it is told how many were started before.
    """

    def __init__(self, number: int, launch: Callable[[int], subprocess.Popen[bytes]]) -> None:
        self._launch = launch
        self._launched = 0
        self._running: list[subprocess.Popen[bytes]] = []
        for _ in range(number):
            self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running:
            process.kill()
            process.wait()

    def disturb(self, what: str, chance: random.Random) -> None:
        """Kill one of them, tell it to stop, or pause it; none has ended by itself."""
        assert all(each.poll() is None for each in self._running)
        process = chance.choice(self._running)
        if what == "kill":
            self._end(process, signal.SIGKILL)
            self._start()
        elif what == "stop":
            assert self._end(process, signal.SIGTERM) in _ENDED
            self._start()
        elif what == "pause":
            process.send_signal(signal.SIGSTOP)
            pause(chance)
            process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Tell all of them to end, and wait until they have."""
        for process in [*self._running]:
            assert self._end(process, signal.SIGTERM) in _ENDED

    def _start(self) -> None:
        self._running.append(self._launch(self._launched))
        self._launched += 1

    def _end(self, process: subprocess.Popen[bytes], number: int) -> int:
        process.send_signal(number)
        self._running.remove(process)
        return process.wait(PATIENCE)


class Writer:
    """Writes a few messages at a time while the block runs, each with the next number as its data.

    Args:
        engine: where to write; what fails is tried again.
        category: of the streams, and `streams`, how many of them.
        seed: for what is chosen.
        every: the seconds between two writes.

    Attributes:
        written: the numbers that are known to be committed.
    """

    def __init__(
        self, engine: Engine, category: str, *, streams: int, seed: int, every: float = 0.01
    ) -> None:
        self.written: list[int] = []
        self._engine = engine
        self._category = category
        self._streams = streams
        self._chance = random.Random(seed)
        self._every = every
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        while not self._ended.wait(self._every):
            begin = len(self.written)
            numbers = range(begin, begin + self._chance.randrange(1, 12))
            stream = f"{self._category}-{self._chance.randrange(self._streams)}"
            self._write([(stream, Message("T", number)) for number in numbers])
            self.written.extend(numbers)

    @retry(
        retry=retry_if_exception_type(OperationalError),
        stop=stop_after_delay(PATIENCE),
        wait=wait_fixed(0.02),
    )
    def _write(self, messages: list[tuple[str, Message]]) -> None:
        # What was committed before is not written again.
        with self._engine.begin() as connection:
            MessageStore(connection).write_messages(messages)
