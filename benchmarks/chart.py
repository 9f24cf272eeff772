"""The ratios of a run, each beside its target, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from benchmarks.comparison import Outcome, rows_of

__all__ = ["write"]

# Legible on white and on black.
_TEXT = "#7d8590"
_GRID = "#7d859055"
_MET = "#1a9e77"
_NOT_MET = "#e0700f"
_FONT = ["DejaVu Sans", "sans-serif"]


def write(file: Path, outcomes: Sequence[Outcome]) -> None:
    rows = rows_of(outcomes)
    labels = [" ".join((row.label, row.what, "| against", row.against)).strip() for row in rows]
    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        # The same figures give the same file.
        "svg.hashsalt": "benchmarks",
        "font.family": _FONT,
        "font.size": 9,
        "text.color": _TEXT,
        "axes.edgecolor": _TEXT,
        "axes.labelcolor": _TEXT,
        "xtick.color": _TEXT,
        "ytick.color": _TEXT,
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(11, 1.2 + 0.3 * len(rows)))
        # Another font than the one that was measured with may be wider.
        figure.set_layout_engine("constrained", w_pad=0.3)
        axes = figure.subplots()
        places = range(len(rows))
        colors = [_MET if row.met else _NOT_MET for row in rows]
        axes.hlines(places, [1] * len(rows), [row.ratio for row in rows], colors, linewidth=3)
        axes.scatter([row.ratio for row in rows], places, c=colors, s=40, zorder=3)
        axes.scatter(
            [row.target for row in rows], places, c=_TEXT, s=140, marker="|", linewidths=2, zorder=4
        )
        for place, row in zip(places, rows, strict=True):
            axes.annotate(
                f"{row.ratio:.2f}",
                (max(row.ratio, row.target, 1), place),
                xytext=(9, 0),
                textcoords="offset points",
                va="center",
            )
        axes.axvline(1, color=_TEXT, linewidth=1)
        axes.set_xscale("log")
        axes.margins(x=0.1)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
        ticks = [0.5, 1, 2, 5, 10, 20, 50, 100]
        low, high = axes.get_xlim()
        axes.set_xticks([tick for tick in ticks if low <= tick <= high])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_yticks(places, labels)
        axes.invert_yaxis()
        axes.grid(axis="x", color=_GRID, linewidth=0.5)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("how many times as fast as the other side (logarithmic)")
        axes.legend(
            handles=[
                Line2D([], [], color=_MET, marker="o", linewidth=3, label="target met"),
                Line2D([], [], color=_NOT_MET, marker="o", linewidth=3, label="not met"),
                Line2D([], [], color=_TEXT, marker="|", markersize=10, linewidth=0, label="target"),
            ],
            loc="upper center",
            bbox_to_anchor=(0.5, 1.08),
            ncols=3,
            frameon=False,
        )
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
