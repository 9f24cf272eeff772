"""Small charts, as paths of an SVG."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["HEIGHT", "WIDTH", "area", "bars"]

WIDTH, HEIGHT = 240, 40
_STEP = 2  # of the width, within which only the highest point is drawn


def area(points: Sequence[tuple[float, float]], span: float) -> str:
    """Return the path of an area below a line.

    Args:
        points: the age and the value of each point, oldest first.
        span: the age at the left edge.
    """
    if not points:
        return ""
    top = max(value for _, value in points) or 1
    highest: dict[int, tuple[float, float]] = {}
    for age, value in points:
        x = _x(age, span)
        place = int(x / _STEP)
        if place not in highest or value >= highest[place][1]:
            highest[place] = x, value
    line = [(x, HEIGHT - value / top * (HEIGHT - 2)) for x, value in highest.values()]
    corners = "L".join(f"{x:.1f} {y:.1f}" for x, y in line)
    return f"M{line[0][0]:.1f} {HEIGHT}L{corners}L{line[-1][0]:.1f} {HEIGHT}Z"


def bars(values: Sequence[int]) -> str:
    """Return the path of a bar chart that fills the width."""
    top, step = max([*values, 1]), WIDTH / len(values)
    return "".join(
        f"M{number * step:.1f} {HEIGHT}h{step - 1:.1f}v{-value / top * HEIGHT:.1f}h{1 - step:.1f}Z"
        for number, value in enumerate(values)
        if value
    )


def _x(age: float, span: float) -> float:
    return WIDTH * (1 - min(age, span) / span)
