"""What is measured on several sides, in rounds that alternate between them."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from statistics import median
from string import ascii_letters
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.server import Server
    from benchmarks.size import Size

__all__ = ["OURS", "Bar", "Comparison", "Experiment", "Outcome", "Row", "rows_of"]

OURS = "mdb_sqla"

Side = Callable[[], float]
"""Does one round, and returns how many units a second that were."""


@dataclass(frozen=True)
class Bar:
    """How many times as fast as another side we are meant to be, at least.

    Attributes:
        label: the row of the targets; empty for what stands beside them.
        against: the name of the other side.
    """

    label: str
    against: str
    target: float


@dataclass(frozen=True)
class Comparison:
    """The same work, done by several sides; one of them is `OURS`."""

    what: str
    unit: str
    sides: Mapping[str, Side]
    bars: Sequence[Bar]

    def run(self, rounds: int, progress: Callable[[str], object]) -> Outcome:
        """Let each side do one round that does not count, and then its rounds in turn."""
        names = list(self.sides)
        for name in names:
            progress(name)
            self.sides[name]()
        # Python's garbage collector is not to go through what this program itself holds.
        gc.collect()
        gc.freeze()
        measured: dict[str, list[float]] = {name: [] for name in names}
        for number in range(rounds):
            # Each begins as often as any other: none always follows the same.
            first = number % len(names)
            for name in names[first:] + names[:first]:
                progress(name)
                measured[name].append(self.sides[name]())
        return Outcome(self.what, self.unit, measured, self.bars)


Experiment = Callable[["Server", "Size"], AbstractContextManager[Comparison]]
"""Sets up what a comparison needs, and takes it down."""


@dataclass(frozen=True)
class Row:
    """What came out for one bar; `ratio` is above 1 where ours is the faster side."""

    label: str
    what: str
    against: str
    unit: str
    ours: float
    theirs: float
    target: float

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs

    @property
    def met(self) -> bool:
        return self.ratio >= self.target


@dataclass(frozen=True)
class Outcome:
    """What each side did in each round, in units a second."""

    what: str
    unit: str
    measured: Mapping[str, Sequence[float]]
    bars: Sequence[Bar]

    def median(self, side: str) -> float:
        return median(self.measured[side])

    def rows(self) -> Iterator[Row]:
        for bar in self.bars:
            yield Row(
                bar.label,
                self.what,
                bar.against,
                self.unit,
                self.median(OURS),
                self.median(bar.against),
                bar.target,
            )


def rows_of(outcomes: Sequence[Outcome]) -> list[Row]:
    """Return the rows of the targets in their order, and then those that stand beside them."""
    rows = [row for outcome in outcomes for row in outcome.rows()]
    return sorted(rows, key=lambda row: (not row.label, _number(row.label), row.label))


def _number(label: str) -> int:
    """Return the 8 of S8b."""
    return int(label.strip(ascii_letters) or 0)
