"""The page on tracing names all metrics and attributes that there are."""

from __future__ import annotations

import re
from pathlib import Path

from mdb_sqla.telemetry import attributes, instruments

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "tracing.md"
ROW = re.compile(r"^\| `([a-z_.]+)` \|", re.MULTILINE)


def rows(heading: str) -> list[str]:
    """Return the names in the first column of the table below a heading."""
    _, _, text = PAGE.read_text(encoding="utf-8").partition(f"# {heading}\n")
    return ROW.findall(re.split(r"^#", text, maxsplit=1, flags=re.MULTILINE)[0])


def test_metrics() -> None:
    assert rows("Metrics") == [*instruments.COUNTERS, *instruments.HISTOGRAMS]


def test_attributes() -> None:
    names = {name for name in vars(attributes) if name.isupper() and name != "MDB_SQLA"}
    assert len(rows("Attributes")) == len(names)
    assert {*rows("Attributes")} == {getattr(attributes, name) for name in names}
