"""The metrics that a host serves, which describe its consumers and its process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import urllib.request
from typing import Any
from urllib.error import HTTPError

import pytest
from opentelemetry import metrics
from sqlalchemy import URL, NullPool, create_engine, event
from sqlalchemy.orm import sessionmaker

from mdb_sqla import Consumer, Group, Host, Message
from mdb_sqla.host import metrics_endpoint
from mdb_sqla.metrics.instruments import missing_packages
from tests.host.conftest import PATIENCE, Supervisor, billing, write
from tests.metrics.conftest import Series, parsed


def scrape(supervisor: Supervisor) -> dict[str, Series]:
    url = supervisor.url.removesuffix("/health") + "/metrics"
    with urllib.request.urlopen(url, timeout=PATIENCE) as response:
        assert response.headers["content-type"].startswith("text/plain; version=")
        return parsed(response.read().decode())


def state(found: dict[str, Series], consumer: str) -> str:
    series = found["mdb_sqla_consumer_state"]
    (current,) = [name for (name, of), value in series.items() if value and of == consumer]
    assert len([of for _, of in series if of == consumer]) == 5
    return current


def test_its_consumers(factory: Any, database: URL, supervisor: Supervisor) -> None:
    write(database, "order-1", Message("Placed"), Message("Placed"))
    other = Consumer("other", group=Group(slots=2), poll_interval=(0.01, 0.05))
    other.on("Other")(lambda message, unit: None)

    def look() -> None:
        supervisor.until(lambda: supervisor.consumer()["positions"] == {"0": 2})
        found = scrape(supervisor)
        assert found["mdb_sqla_store_up"] == {(): 1}
        assert found["mdb_sqla_consumer_lag"] == {("billing",): 0, ("other",): 0}
        assert found["mdb_sqla_consumer_position"][("billing",)] == 2
        assert found["mdb_sqla_consumer_dead_letters"][("billing",)] == 0
        assert found["mdb_sqla_consumer_rate_per_second"][("billing",)] > 0
        assert state(found, "billing") == state(found, "other") == "running"
        # The gauges of a whole store are not a host's.
        assert "mdb_sqla_store_size_bytes" not in found
        assert "python_info" in found

        other.pause()
        supervisor.until(lambda: state(scrape(supervisor), "other") == "paused")
        other.resume()

    supervisor.watch(Host(factory, billing(), other, http=0), look)


def test_the_gauges_of_a_host_end_with_it(
    factory: Any, supervisor: Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    found: list[dict[str, Series]] = []
    second = Consumer("second", "order", poll_interval=(0.01, 0.05))
    second.on()(lambda message, unit: None)

    def look() -> None:
        supervisor.until(lambda: supervisor.ask()[0] == 200)
        found.append(scrape(supervisor))

    supervisor.watch(Host(factory, billing(), http=0), look)
    caplog.clear()
    supervisor.watch(Host(factory, second, http=0), look)
    # The names of the consumers come after their states.
    named = [{labels[1] for labels in each["mdb_sqla_consumer_state"]} for each in found]
    assert named == [{"billing"}, {"second"}]


def test_a_database_that_is_gone(factory: Any, supervisor: Supervisor) -> None:
    """What the process knows stays, and what the database knows is left out."""
    engine = factory.kw["bind"]
    is_gone = threading.Event()

    @event.listens_for(getattr(engine, "sync_engine", engine), "do_connect")
    def refuse(dialect: Any, record: Any, arguments: Any, options: dict[str, Any]) -> None:
        if is_gone.is_set():
            options.update(host="127.0.0.1", port=1)

    def look() -> None:
        supervisor.until(lambda: supervisor.ask()[0] == 200)
        assert "mdb_sqla_consumer_lag" in scrape(supervisor)
        is_gone.set()
        supervisor.until(lambda: scrape(supervisor)["mdb_sqla_store_up"] == {(): 0})
        found = scrape(supervisor)
        assert "mdb_sqla_consumer_lag" not in found
        assert state(found, "billing") == "running"
        is_gone.clear()
        supervisor.until(lambda: scrape(supervisor)["mdb_sqla_store_up"] == {(): 1})

    supervisor.watch(Host(factory, billing(), http=0), look)


def test_instruments_of_the_process(database: URL, supervisor: Supervisor) -> None:
    """The first host of the process has set its own provider, as the application has not."""
    served = Host(sessionmaker(create_engine(database, poolclass=NullPool)), billing(), http=0)
    counter = metrics.get_meter("shop").create_counter("shop.orders", unit="{order}")

    def look() -> None:
        counter.add(3, {"kind": "new"})
        assert scrape(supervisor)["shop_orders_total"] == {("new",): 3}

    supervisor.watch(served, look)


PROGRAM = """
import logging, os, sys, threading, urllib.request
from opentelemetry import metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker
from mdb_sqla import Consumer, Host

how = sys.argv[1]
pushed = InMemoryMetricReader()
readers = [pushed] + ([PrometheusMetricReader()] if how == "read" else [])
provider = MeterProvider(readers)
metrics.set_meter_provider(provider)
orders = metrics.get_meter("shop").create_counter("shop.orders")

billing = Consumer("billing", "order")
billing.on()(lambda message, unit: None)
factory = sessionmaker(create_engine(os.environ["URL"]))
host = Host(factory, billing, http=None if how == "push" else 0)
urls = []

class Look(logging.Handler):
    def emit(self, record):
        if record.event == "host.serving":
            urls.append(record.url)
        if record.event == "consumer.started":
            threading.Thread(target=look).start()

def look():
    try:
        orders.add(3)
        for url in urls:
            with urllib.request.urlopen(url + "/metrics", timeout=30) as response:
                print(response.read().decode())
        found = {
            metric.name: [point.value for point in metric.data.data_points]
            for resource in pushed.get_metrics_data().resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }
        print("# pushed", *found)
        assert found["mdb_sqla.consumer.lag"] == [0]
        assert metrics.get_meter_provider() is provider
    finally:
        host.stop()

logger = logging.getLogger("mdb_sqla")
logger.setLevel(logging.INFO)
logger.addHandler(Look())
host.run()
"""


def run(database: URL, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={**os.environ, "URL": database.render_as_string(hide_password=False)},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("how", ["serve", "read", "push"])
def test_a_provider_of_the_application(database: URL, how: str) -> None:
    """It stays, and has the gauges; its metrics are served once, whatever readers it has."""
    page, _, pushed = run(database, how).partition("# pushed ")

    found = parsed(page)
    if how != "push":
        assert found["mdb_sqla_store_up"] == {(): 1}
        assert found["shop_orders_total"] == {(): 3}
    assert {"mdb_sqla.store.up", "mdb_sqla.consumer.state", "shop.orders"} <= {*pushed.split()}


def test_without_the_packages(
    database: URL, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise missing_packages(ModuleNotFoundError("prometheus_client"))

    monkeypatch.setattr(metrics_endpoint, "process_metrics", missing)
    served = Host(sessionmaker(create_engine(database, poolclass=NullPool)), billing(), http=0)
    told: list[tuple[int, str]] = []

    def look() -> None:
        supervisor.until(lambda: supervisor.ask()[0] == 200)
        with pytest.raises(HTTPError) as error:
            scrape(supervisor)
        with error.value:
            told.append((error.value.code, error.value.read().decode()))

    supervisor.watch(served, look)
    ((code, text),) = told
    assert code == 404
    assert 'pip install "mdb_sqla[metrics]"' in text
