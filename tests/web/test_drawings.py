"""The map, charts and JSON, drawn from values."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import pytest

from mdb_sqla.admin.consumer_overview import ConsumerOverview
from mdb_sqla.consumers.registry import Reads
from mdb_sqla.web.charts import area, bars
from mdb_sqla.web.json_view import json_view
from mdb_sqla.web.store_map import Flow, draw_map


def consumer(name: str, *categories: str) -> ConsumerOverview:
    reads = Reads(list(categories), None, None, None, 1)
    return ConsumerOverview(name, reads, None, (), (), 0, 0, None, None)


def test_causes_come_before_effects() -> None:
    flow = Flow({"a": 1, "b": 1, "c": 1}, {("c", "a"): 1, ("a", "b"): 5}, 1.0)
    drawing = draw_map(flow, [consumer("x", "b"), consumer("y")])
    assert [node.name for node in drawing.categories] == ["c", "a", "b"]
    assert [node.name for node in drawing.consumers] == ["x", "y"]
    # Two arcs; x reads one category, and y all of them.
    assert len(drawing.edges) == 2 + 1 + 3


@pytest.mark.parametrize(
    "caused", [{("a", "a"): 1}, {("a", "b"): 1, ("b", "a"): 1}, {("x", "a"): 1, ("a", "x"): 2}]
)
def test_cycles(caused: dict[tuple[str, str], int]) -> None:
    drawing = draw_map(Flow({"a": 1, "b": 1}, caused, 1.0), [])
    assert {node.name for node in drawing.categories} == {"a", "b"} | {
        name for pair in caused for name in pair
    }
    assert len(drawing.edges) == len(caused)


def test_many_categories() -> None:
    names = [f"category {number:03}" for number in range(100)]
    flow = Flow(
        {name: number for number, name in enumerate(names)},
        {(a, b): 1 for a in names for b in names},
        1.0,
    )
    drawing = draw_map(flow, [consumer("all"), consumer("first", names[0], names[99])])
    assert len(drawing.categories) == 40
    assert drawing.left_out == 60
    assert {node.name for node in drawing.categories} <= {*names[60:], names[0]}
    assert len(drawing.edges) <= 40 * 40 + 42


def test_nothing_overlaps_or_leaves_the_drawing() -> None:
    flow = Flow({f"c{n}": n for n in range(30)}, {("c1", f"c{n}"): 9_999 for n in range(30)}, 0.0)
    drawing = draw_map(flow, [consumer(f"r{n}", f"c{n}") for n in range(20)])
    for nodes in (drawing.categories, drawing.consumers):
        assert all(a.y + a.height < b.y for a, b in pairwise(nodes))
        assert nodes[-1].y + nodes[-1].height < drawing.height
    xs = [
        float(x)
        for edge in drawing.edges
        for x, _ in re.findall(r"(-?[\d.]+) (-?[\d.]+)", edge.path)
    ]
    assert min(xs) >= 0
    assert max(xs) <= drawing.width


def test_area() -> None:
    assert area([], 60) == ""
    assert (
        area([(60, 0), (30, 5), (0, 10)], 60) == "M0.0 40L0.0 40.0L120.0 21.0L240.0 2.0L240.0 40Z"
    )
    assert "nan" not in area([(5, 0)], 60)
    assert area([(100, 1), (0, 1)], 60).startswith("M0.0 40")


def test_bars() -> None:
    assert bars([0, 0]) == ""
    assert bars([1, 2]) == "M0.0 40h119.0v-20.0h-119.0ZM120.0 40h119.0v-40.0h-119.0Z"


@pytest.mark.parametrize(
    "value", [None, True, 0, -1.5, "", "<b>&\"'", [], {}, [1, [2, {"a": None}]], {"<": {">": "&"}}]
)
def test_json(value: Any) -> None:
    html = json_view(json.dumps(value, ensure_ascii=False))
    shown = re.sub(r'<span class="json-count">.*?</span>', "", html)
    shown = re.sub(r"</li><li>", ",", shown)
    text = re.sub(r"<[^>]+>", "", shown).replace("&lt;", "<").replace("&gt;", ">")
    text = text.replace("&#34;", '"').replace("&#39;", "'").replace("&amp;", "&")
    assert json.loads(text) == value


def test_json_of_any_size() -> None:
    assert json_view(None) == '<span class="json-null">null</span>'
    deep = "[" * 10_000 + "]" * 10_000
    assert json_view(deep) == f"<pre>{deep}</pre>"
    for depth in (50, 200, 400, 900):
        text = "[" * depth + "]" * depth
        assert len(json_view(text)) < 200_000
    huge = "9" * 5_000
    assert json_view(huge) == f"<pre>{huge}</pre>"
    assert "1E+400" in json_view("1e400") or "1" + "0" * 400 in json_view("1e400")
    assert json_view(json.dumps(list(range(6_000)))).startswith("<pre>")
    assert json_view('{"cut": "of') == "<pre>{&#34;cut&#34;: &#34;of</pre>"
