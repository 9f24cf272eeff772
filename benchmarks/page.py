"""The documentation's page about benchmarks, of which a run renews its part."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks import table
from benchmarks.comparison import Outcome
from benchmarks.results import Document

__all__ = ["update"]

_PART = re.compile(r"(?<=<!-- results -->\n).*(?=<!-- end of results -->)", re.DOTALL)


def update(page: Path, document: Document, outcomes: Sequence[Outcome]) -> None:
    """Put chart and table of a run between the two marks in the page."""
    versions = ", ".join(f"{name} {value}" for name, value in document["versions"].items())
    part = (
        "\n## Results\n\n![Ratios and targets](benchmarks/chart.svg)\n\n"
        f"Measured on {document['date']} with {document['cores']} cores; medians of "
        f"{document['rounds']} rounds, all of which are in "
        f"[results.json](benchmarks/results.json).\n{versions}.\n\n{table.markdown(outcomes)}\n\n"
    )
    text = page.read_text(encoding="utf-8")
    page.write_text(_PART.sub(lambda _: part, text), encoding="utf-8")
