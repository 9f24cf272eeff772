"""How much is done in a second."""

from __future__ import annotations

import time

__all__ = ["Rate"]

_WINDOW = 60  # seconds


class Rate:
    """Counts what one thread does, and tells any other how much it was lately."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        # For each second of the window, which one it was last, and what was done in it.
        self._counts = [(0, 0)] * _WINDOW

    def add(self, number: int) -> None:
        """Count what has just been done."""
        now = int(time.monotonic())
        second, count = self._counts[now % _WINDOW]
        self._counts[now % _WINDOW] = now, number + (count if second == now else 0)

    @property
    def per_second(self) -> float:
        """How much was done in a second, over the last minute, or since it began."""
        now = time.monotonic()
        done = sum(count for second, count in self._counts if second > now - _WINDOW)
        return done / max(1.0, min(now - self._began, _WINDOW))
