"""The gauges as instruments of a meter provider."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import create_async_engine

from mdb_sqla import InvalidArgument
from mdb_sqla.metrics import observe_store
from mdb_sqla.metrics.gauges import CONSUMER, GAUGES, LAG, UP, Sample
from mdb_sqla.metrics.instruments import instruments_of
from mdb_sqla.metrics.prometheus_text import PrometheusText
from tests.metrics.conftest import CONSUMER as LABEL
from tests.metrics.conftest import Store, parsed


def observed(reader: InMemoryMetricReader) -> dict[str, list[tuple[dict[str, Any], float]]]:
    data = reader.get_metrics_data()
    return {
        metric.name: [
            (dict(point.attributes or {}), point.value)
            for point in metric.data.data_points
            if isinstance(point, NumberDataPoint)
        ]
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def test_a_provider_of_the_application(store: Store) -> None:
    store.write("order-1")
    store.catch_up("billing", "order")
    reader = InMemoryMetricReader()
    observe_store(store.engine, MeterProvider([reader]))

    found = observed(reader)
    assert found["mdb_sqla.store.up"] == [({}, 1)]
    assert found["mdb_sqla.consumer.lag"] == [({"messaging.consumer.group.name": "billing"}, 0)]


def test_names_follow_the_conventions() -> None:
    for gauge in GAUGES:
        assert gauge.name.startswith("mdb_sqla.")
        assert not gauge.description.endswith(".")
        assert len(gauge.attributes) == len({*gauge.attributes})
    assert len({gauge.name for gauge in GAUGES}) == len(GAUGES)


def test_sources_that_have_the_same_gauge() -> None:
    text = PrometheusText()
    instruments = instruments_of(text.provider)
    assert instruments_of(text.provider) is instruments
    first = [Sample(LAG, 1, {CONSUMER: "a"}), Sample(LAG, 2, {CONSUMER: "b"})]
    second = [Sample(LAG, 3, {CONSUMER: "b"})]

    def source() -> list[Sample]:
        return second

    instruments.add(lambda: first)
    instruments.add(source)
    page = text.render().text.decode()
    assert parsed(page)["mdb_sqla_consumer_lag"] == {("a",): 1, ("b",): 3}

    instruments.remove(source)
    page = text.render().text.decode()
    assert parsed(page)["mdb_sqla_consumer_lag"] == {("a",): 1, ("b",): 2}


def test_a_gauge_without_a_sample_is_gone() -> None:
    text = PrometheusText()
    samples = [Sample(UP, 1), Sample(LAG, 1, {CONSUMER: "a"}), Sample(LAG, 2, {CONSUMER: "b"})]
    instruments_of(text.provider).add(lambda: samples)
    assert len(parsed(text.render().text.decode())["mdb_sqla_consumer_lag"]) == 2

    samples.pop()
    assert parsed(text.render().text.decode())["mdb_sqla_consumer_lag"] == {("a",): 1}
    samples.pop()
    assert parsed(text.render().text.decode()).keys() == {"mdb_sqla_store_up"}


def test_metrics_of_other_collectors_are_added_once() -> None:
    text, other = PrometheusText(), PrometheusText()
    instruments_of(text.provider).add(lambda: [Sample(UP, 1)])
    instruments_of(other.provider).add(lambda: [Sample(UP, 0), Sample(LAG, 1, {CONSUMER: "a"})])
    text._collectors = (*text._collectors, other)

    found = parsed(text.render().text.decode())
    assert found == {"mdb_sqla_store_up": {(): 1}, "mdb_sqla_consumer_lag": {("a",): 1}}


def test_many_consumers_have_a_series_each() -> None:
    """More than OpenTelemetry keeps apart by default, at a time and one after the other."""
    text = PrometheusText()
    samples: list[Sample] = []
    instruments_of(text.provider).add(lambda: samples)
    for start in (0, 3_000):
        names = [f"c{number}" for number in range(start, start + 3_000)]
        samples[:] = [Sample(LAG, number, {CONSUMER: name}) for number, name in enumerate(names)]
        found = parsed(text.render().text.decode())["mdb_sqla_consumer_lag"]
        assert found == {(name,): number for number, name in enumerate(names)}


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text; version=x",
        "application/openmetrics-text; version=",
        "application/openmetrics-text; version=0.0.1; escaping=allow-utf-8",
        "text/plain; version=; q=x",
        "text/plain;version=1.x.2",
        ",;=,",
        "é",
    ],
)
def test_a_format_that_is_unknown(accept: str) -> None:
    text = PrometheusText()
    instruments_of(text.provider).add(lambda: [Sample(UP, 1)])
    assert b"mdb_sqla_store_up 1.0" in text.render(accept).text


NAMES = [
    'quotes "and" \\ backslashes\\n',
    "lines\nof\r\ntext",
    "tab\tNUL-like \\0",
    "שלום 🛫 \u202e",
    '{a="b"} 1',
    "# HELP x",
    " spaces ",
    "x" * 1_000,
    "\x7f\x01\x85\u2028",
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_of_any_kind(store: Store, name: str) -> None:
    """In both formats, as Prometheus' own parsers read them."""
    store.catch_up(name)
    plain = store.scrape()
    assert plain["mdb_sqla_consumer_lag"] == {(name,): 0}
    page = store.text.render("application/openmetrics-text; version=1.0.0").text.decode()
    found = [
        sample.labels[LABEL]
        for family in openmetrics(page)  # type: ignore[no-untyped-call]
        for sample in family.samples
        if sample.name == "mdb_sqla_consumer_lag"
    ]
    assert found == [name]


def test_the_format_is_negotiated() -> None:
    text = PrometheusText()
    instruments_of(text.provider).add(lambda: [Sample(UP, 1)])

    plain = text.render("text/plain")
    assert plain.content_type.startswith("text/plain; version=0.0.4")
    assert not plain.text.endswith(b"# EOF\n")
    new = text.render("application/openmetrics-text; version=1.0.0")
    assert new.content_type.startswith("application/openmetrics-text")
    assert new.text.endswith(b"# EOF\n")


def test_an_engine_that_can_not_be_used(database: URL) -> None:
    with pytest.raises(InvalidArgument, match="engine must be"):
        observe_store(create_async_engine(database))  # type: ignore[arg-type]


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout


def test_the_global_provider_may_be_set_later(store: Store) -> None:
    """In a process of its own, because the global provider can't be replaced."""
    url = store.engine.url.render_as_string(hide_password=False)
    code = f"""
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from sqlalchemy import create_engine
from mdb_sqla.metrics import observe_store

observe_store(create_engine({url!r}))
reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))
(resource,) = reader.get_metrics_data().resource_metrics
(scope,) = resource.scope_metrics
print(scope.scope.name, len(scope.metrics))
"""
    assert run(code) == "mdb_sqla 9\n"


@pytest.mark.parametrize("missing", ["opentelemetry", "opentelemetry.sdk", "prometheus_client"])
def test_the_extra_that_is_missing_is_named(missing: str) -> None:
    code = f"""
import sys
sys.modules[{missing!r}] = None
from sqlalchemy import create_engine
from mdb_sqla import MetricsUnavailable
from mdb_sqla.metrics.prometheus_text import PrometheusText
from mdb_sqla.metrics import observe_store

try:
    observe_store(create_engine("postgresql+psycopg://"))
    PrometheusText()
except MetricsUnavailable as error:
    print(error)
"""
    assert 'pip install "mdb_sqla[metrics]"' in run(code)
