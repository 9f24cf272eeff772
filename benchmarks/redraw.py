"""Draws the charts, and renews the pages, of the results that are there: `make pictures`."""

from __future__ import annotations

from pathlib import Path

from benchmarks import page, results
from benchmarks.charts import charts_of, draw

FOLDER = Path(__file__).parents[1] / "docs" / "benchmarks"

if __name__ == "__main__":
    document = results.read(FOLDER / "results.json")
    outcomes = results.outcomes_of(document)
    draw(FOLDER, charts_of(outcomes))
    page.update(document, outcomes)
