"""Pictures and charts are those of their sources; `make pictures` draws them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import charts, page, results
from docs.pictures import draw

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "benchmarks"
DOCUMENT = results.read(FOLDER / "results.json")
OUTCOMES = results.outcomes_of(DOCUMENT)
CHARTS = charts.charts_of(OUTCOMES)


def name(item: Any) -> str:
    return str(getattr(item, "stem", getattr(item, "name", item)))


@pytest.mark.parametrize("theme", draw.THEMES)
@pytest.mark.parametrize("source", draw.sources(), ids=name)
def test_a_picture_is_drawn_from_its_source(source: Path, theme: str) -> None:
    picture = draw.picture(source, theme).read_text("utf-8")

    assert picture.startswith(draw.made_of(source, {"theme": theme}))


@pytest.mark.parametrize("theme", draw.THEMES)
@pytest.mark.parametrize("chart", CHARTS, ids=name)
def test_a_chart_is_drawn_from_the_results(chart: charts.Chart, theme: str) -> None:
    picture = (FOLDER / f"{chart.name}-{theme}.svg").read_text("utf-8")

    assert picture.startswith(draw.made_of(charts.SOURCE, chart.inputs(theme)))


def test_there_are_no_others() -> None:
    drawn = [draw.picture(source, theme) for source in draw.sources() for theme in draw.THEMES]
    drawn += [FOLDER / f"{chart.name}-{theme}.svg" for chart in CHARTS for theme in draw.THEMES]

    assert {*ROOT.glob("docs/**/*.svg")} == {*drawn, ROOT / "docs" / "_static" / "favicon.svg"}


def test_the_pages_show_the_results() -> None:
    users, contributors = (each.read_text("utf-8") for each in (page.PAGE, page.README))

    assert page.with_results(users, DOCUMENT, OUTCOMES) == users
    assert page.with_targets(contributors, OUTCOMES) == contributors


def test_longer_is_better_in_every_chart() -> None:
    assert [chart.name for chart in CHARTS] == ["message-db", "libraries", "latency"]
    for chart in CHARTS:
        for line in chart.lines:
            assert line.is_faster in {None, line.length >= 1}


def test_every_comparison_of_a_chart_has_a_title() -> None:
    measured = {outcome.what for outcome in OUTCOMES}

    assert [line.title for chart in CHARTS for line in chart.lines if line.title in measured] == []
