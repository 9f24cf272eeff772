"""Durations as people read them."""

from __future__ import annotations

import re
from datetime import timedelta

from mdb_sqla.errors import InvalidArgument

__all__ = ["duration", "parse_duration"]

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


def parse_duration(text: str) -> timedelta:
    """Return the duration that a text such as `30d`, `12h`, `90 min` or `1h 30min` stands for.

    Raises:
        InvalidArgument: it is not a duration of more than 0.
    """
    number = r"(?:\s*\d+(?:\.\d+)?\s*(?:d|h|min|s))"
    if not re.fullmatch(f"{number}+\\s*", text):
        raise InvalidArgument(f"A duration must be like 30d, 12h, 90min or 30s, got {text!r}")
    sizes = dict(_UNITS)
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*(d|h|min|s)", text)
    try:
        found = timedelta(seconds=sum(float(number) * sizes[unit] for number, unit in parts))
    except OverflowError:
        raise InvalidArgument(
            f"A duration must be less than a billion days, got {text!r}"
        ) from None
    if not found:
        raise InvalidArgument(f"A duration must be more than 0, got {text!r}")
    return found
