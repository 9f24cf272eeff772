"""The progress of commands that process messages."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from mdb_sqla.cli.options import errors
from mdb_sqla.cli.quantities import plural

__all__ = ["ProgressBar", "progress"]


class ProgressBar:
    """The number of messages that were processed, and how much of the whole that is."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task
        self._begin = time.monotonic()
        self.number = 0

    def expect(self, total: int) -> None:
        """Set how much the whole is, in any unit."""
        self._progress.update(self._task, total=max(total, 0))

    def show(self, number: int, completed: int) -> None:
        """Show the number of messages, and how much of the whole is completed."""
        self.number = number
        self._progress.update(self._task, completed=completed, done=self.text)

    @property
    def text(self) -> str:
        """The number of messages and the rate."""
        rate = self.number / max(time.monotonic() - self._begin, 1e-3)
        return f"{plural(self.number, 'message')}, {rate:,.0f}/s"


@contextmanager
def progress(done: str) -> Iterator[ProgressBar]:
    """Show a progress bar if stderr is a terminal, and the totals at the end."""
    columns = (BarColumn(), TextColumn("{task.fields[done]}"), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bars:
        bar = ProgressBar(bars, bars.add_task(done, total=None, done=""))
        yield bar
    errors.print(f"{done} {bar.text}.")
