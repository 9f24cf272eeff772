"""Throughput of consumers."""

from __future__ import annotations

import time

__all__ = ["Rate"]

_WINDOW = 60  # seconds


class Rate:
    """Counts events of one thread; any thread can read the rate."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        # A ring buffer: for each second of the window, its time and its count.
        self._counts = [(0, 0)] * _WINDOW

    def add(self, number: int) -> None:
        """Count events."""
        now = int(time.monotonic())
        second, count = self._counts[now % _WINDOW]
        self._counts[now % _WINDOW] = now, number + (count if second == now else 0)

    @property
    def per_second(self) -> float:
        """The number of events per second, over the last minute or since the start."""
        now = time.monotonic()
        total = sum(count for second, count in self._counts if second > now - _WINDOW)
        return total / max(1.0, min(now - self._started, _WINDOW))
