"""Threads that work while a test disturbs them; the first error ends all of them."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread
from typing import Self

PATIENCE = 60.0  # seconds


class Workers:
    """Threads that end with the block, which raises the error of the first one that failed.

    Attributes:
        stopped: set when they are to end.
    """

    def __init__(self) -> None:
        self.stopped = Event()
        self._threads: list[Thread] = []
        self._stops: list[Callable[[], None]] = []
        self._errors: list[BaseException] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        for stop in self._stops:
            stop()
        for thread in self._threads:
            thread.join(PATIENCE)
        self.check()
        assert not any(thread.is_alive() for thread in self._threads)

    def start(self, work: Callable[[], object], *, stop: Callable[[], None] | None = None) -> None:
        """Start a thread, which ends by itself when `stopped` is set or `stop` is called."""

        def guarded() -> None:
            try:
                work()
            except BaseException as error:
                self._errors.append(error)
                self.stopped.set()

        if stop is not None:
            self._stops.append(stop)
        self._threads.append(Thread(target=guarded))
        self._threads[-1].start()

    def repeat(self, work: Callable[[], object], *, every: float = 0.0) -> None:
        """Start a thread that does the same again and again, with a pause in seconds."""

        def loop() -> None:
            while not self.stopped.wait(every):
                work()

        self.start(loop)

    def check(self) -> None:
        """Raise the error of the first one that failed."""
        if self._errors:
            raise self._errors[0]
