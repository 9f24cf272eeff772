"""A limit that adapts to how long a query takes."""

from __future__ import annotations

__all__ = ["AdaptiveLimit"]


class AdaptiveLimit:
    """How much a repeated query examines: more after it was fast, less after it was slow.

    Args:
        first: the limit of the first query.
        least: the lowest limit.
        most: the highest limit.
        fast: the number of seconds below which the limit is raised.
        slow: the number of seconds above which the limit is lowered.

    Attributes:
        value: the current limit.
    """

    def __init__(self, first: int, *, least: int, most: int, fast: float, slow: float) -> None:
        self.value = first
        self._least = least
        self._most = most
        self._fast = fast
        self._slow = slow

    def adapt(self, seconds: float, *, failed: bool = False) -> None:
        """Change the limit after a query; one that failed does not raise it, however fast."""
        if seconds > self._slow:
            self.value = max(self.value // 4, self._least)
        elif seconds < self._fast and not failed:
            self.value = min(2 * self.value, self._most)
