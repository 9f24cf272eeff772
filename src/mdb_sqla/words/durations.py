"""Durations as people read them."""

from __future__ import annotations

__all__ = ["duration"]

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def duration(seconds: float) -> str:
    """Return a duration in its two largest units, such as `250 ms`, `3 s` or `2 min 5 s`."""
    if seconds < 1:
        milliseconds = round(max(seconds, 0) * 1_000)
        return f"{milliseconds} ms" if 0 < milliseconds < 1_000 else f"{milliseconds // 1_000} s"
    left, parts = round(seconds), []
    for unit, size in _UNITS:
        number, left = divmod(left, size)
        if number:
            parts.append(f"{number:,} {unit}")
        elif parts:
            # Not `1 d 5 s`: the second unit is the one below the first.
            break
    return " ".join(parts[:2])
