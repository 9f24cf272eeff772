"""The dashboard, the alert rules and the tables of metrics name what is exported."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from prometheus_client.parser import text_string_to_metric_families

from mdb_sqla.metrics.gauges import GAUGES, IN_STATE, PART, Gauge, Sample
from mdb_sqla.metrics.instruments import instruments_of
from mdb_sqla.metrics.prometheus_text import PrometheusText
from mdb_sqla.telemetry import PROCESS, PUBLISH, READ, RECEIVE, SEND
from mdb_sqla.telemetry.instruments import COUNTERS, HISTOGRAMS, Instruments

DOCS = Path(__file__).parents[2] / "docs"
DASHBOARD = json.loads((DOCS / "monitoring" / "grafana-dashboard.json").read_text("utf-8"))
RULES = DOCS / "monitoring" / "alerts.yml"
PAGES = [DOCS / "how-to" / "monitoring.md", DOCS / "reference" / "metrics.md"]

OF_PROMETHEUS = {"job", "instance"}
WORDS = {
    PART: {"table", "indexes", "toast"},
    IN_STATE: {"held", "free", "running", "paused", "stopping", "stopped", "failed"},
}


def record_all(instruments: Instruments) -> None:
    """Record something with each instrument of the process."""
    for kind in (SEND, PUBLISH, READ, RECEIVE, PROCESS):
        instruments.measure(kind, 1.0, {"order": 1}, consumer="billing", server="primary")
    for name in COUNTERS:
        instruments.count(name, {"order": 1}, consumer="billing", error=ValueError())


def sample(gauge: Gauge) -> Sample:
    return Sample(gauge, 1, {name: min(WORDS.get(name, {"x"})) for name in gauge.attributes})


@pytest.fixture(scope="module")
def exported() -> dict[str, set[str]]:
    """The names that the exporter gives to all metrics, with their labels."""
    text = PrometheusText()
    instruments_of(text.provider).add(lambda: map(sample, GAUGES))
    record_all(Instruments(text.provider.get_meter("mdb_sqla")))
    families = text_string_to_metric_families(text.render().text.decode())
    found: dict[str, set[str]] = {}
    for family in families:
        for each in family.samples:
            if not each.name.endswith("_created"):
                found.setdefault(each.name, set()).update(each.labels)
    # A histogram has buckets, a count and a sum.
    assert len(found) == len(GAUGES) + len(COUNTERS) + 3 * len(HISTOGRAMS)
    return found


def panels() -> Iterator[dict[str, Any]]:
    yield from (panel for panel in DASHBOARD["panels"] if panel["type"] != "row")


def rules() -> list[dict[str, Any]]:
    yaml = pytest.importorskip("yaml")  # it has no types
    document = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    (group,) = document["groups"]
    assert document.keys() == {"groups"}
    assert group.keys() == {"name", "rules"}
    found: list[dict[str, Any]] = group["rules"]
    return found


def of_dashboard() -> list[str]:
    """The queries, with values for Grafana's variables."""
    found = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [
        each.replace("$__rate_interval", "5m").replace("$job", ".*").replace("$consumer", ".*")
        for each in found
    ]


def selectors(query: str) -> list[Any]:
    """Parse a query, and return what it selects."""
    found: list[Any] = []

    def visit(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)

    promql_parser.walk(promql_parser.parse(query), pre_visit=visit)
    assert found, query
    return found


def groupings(query: str) -> set[str]:
    """The labels by which a query aggregates."""
    return {
        label.strip()
        for labels in re.findall(r"\bby \(([^)]*)\)", query)
        for label in labels.split(",")
    }


@pytest.mark.parametrize(
    "query", [*of_dashboard(), *(rule["expr"] for rule in rules())], ids=lambda query: query[:60]
)
def test_queries(query: str, exported: dict[str, set[str]]) -> None:
    labels: set[str] = set()
    for selector in selectors(query):
        assert selector.name in exported, selector.name
        of_metric = exported[selector.name] | OF_PROMETHEUS
        labels |= of_metric
        for matcher in selector.matchers.matchers:
            assert matcher.name in of_metric, matcher.name
            if matcher.op == promql_parser.MatchOp.Equal:
                (words,) = [
                    words
                    for attribute, words in WORDS.items()
                    if attribute.replace(".", "_") == matcher.name
                ]
                assert matcher.value in words
    assert groupings(query) <= labels


def test_every_metric_is_on_the_dashboard(exported: dict[str, set[str]]) -> None:
    shown = {each.name for query in of_dashboard() for each in selectors(query)}
    of_histograms = {name for name in exported if name.endswith(("_seconds_count", "_seconds_sum"))}

    # The position is for the alerts.
    missing = exported.keys() - shown - of_histograms
    assert missing <= {"mdb_sqla_consumer_position", "messaging_client_consumed_messages_total"}


def test_the_dashboard_can_be_imported() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len({*ids})
    variables = {each["name"] for each in DASHBOARD["templating"]["list"]}
    for panel in panels():
        assert panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        used = re.findall(r"\$(\w+)", json.dumps(panel["targets"]))
        assert {*used} <= variables | {"__rate_interval"}
        for target in panel["targets"]:
            legend = {*re.findall(r"{{(\w+)}}", target["legendFormat"])}
            assert legend <= groupings(target["expr"]) | OF_PROMETHEUS, target
    # No panel covers another one.
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len({*cells})
    assert max(x for x, _ in cells) == 23


def test_variables_query_what_is_exported(exported: dict[str, set[str]]) -> None:
    queries = [each["query"]["query"] for each in DASHBOARD["templating"]["list"][1:]]
    assert len(queries) == 2
    for query in queries:
        found = re.fullmatch(r"label_values\((\w+), (\w+)\)", query)
        assert found is not None
        assert found[2] in exported[found[1]] | OF_PROMETHEUS


def test_rules_are_complete() -> None:
    found = rules()

    assert len({rule["alert"] for rule in found}) == len(found)
    for rule in found:
        assert {"alert", "expr", "labels", "annotations"} <= rule.keys()
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"Mdb[A-Za-z]+", rule["alert"])
        assert re.fullmatch(r"\d+[mh]", rule.get("for", "1m"))
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert rule["annotations"].keys() == {"summary", "description"}
        used = {*re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"]))}
        by = groupings(rule["expr"])
        assert used <= (by or OF_PROMETHEUS), rule["alert"]


def test_alerts_of_the_page() -> None:
    named = re.findall(r"`(Mdb\w+)`", PAGES[0].read_text(encoding="utf-8"))

    assert named
    assert {*named} <= {rule["alert"] for rule in rules()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_metrics_of_the_pages(page: Path, exported: dict[str, set[str]]) -> None:
    named = {*re.findall(r"\b(mdb_sqla_(?:store|consumer|retention)_\w+)", page.read_text("utf-8"))}

    assert named <= exported.keys()
    if page.stem == "metrics":
        # The page on tracing has those of the process.
        of_process = re.compile(r"messaging_\w+|\w+_messages_total")
        assert named == {name for name in exported if not of_process.fullmatch(name)}


def test_the_reference_has_the_attributes_and_units() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGES[1].read_text(encoding="utf-8").splitlines()
        if line.startswith("| `mdb_sqla.")
    ]

    assert [row[0].strip("`") for row in rows] == [gauge.name for gauge in GAUGES]
    for gauge, (_, _, unit, attributes, _, description) in zip(GAUGES, rows, strict=True):
        assert unit.strip("`") == gauge.unit
        assert re.findall(r"`([\w.]+)`", attributes) == list(gauge.attributes)
        assert description
