"""A store whose gauges are scraped, as Prometheus does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.orm import sessionmaker

from mdb_sqla import Consumer, Message, MessageStore
from mdb_sqla.metrics.background_query import QueryCache
from mdb_sqla.metrics.instruments import instruments_of
from mdb_sqla.metrics.prometheus_text import PrometheusText
from mdb_sqla.metrics.store_gauges import StoreGauges

CONSUMER = "messaging_consumer_group_name"

Series = dict[tuple[str, ...], float]


def parsed(text: str) -> dict[str, Series]:
    """Return the values by name, and by the values of the labels in the order of their names."""
    found: dict[str, Series] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            series = found.setdefault(sample.name, {})
            assert labels not in series, f"{sample.name} {sample.labels} is there twice"
            series[labels] = sample.value
    return found


class Store:
    """A store with an exporter of its gauges."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.factory = sessionmaker(engine)
        self.text = PrometheusText()
        self.gauges = StoreGauges(engine)
        instruments_of(self.text.provider).add(self.gauges)

    def scrape(self) -> dict[str, Series]:
        """Query the store now, whenever it was queried last."""
        self.gauges._cache = QueryCache(self.gauges._start)
        return self.cached()

    def cached(self) -> dict[str, Series]:
        return parsed(self.text.render().text.decode())

    def write(self, stream_name: str, *messages: Message) -> None:
        with self.engine.begin() as connection:
            MessageStore(connection).write(stream_name, messages or [Message("Placed")])

    def execute(self, statement: Any, **parameters: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(statement, parameters)

    def catch_up(self, name: str, *categories: str, **options: Any) -> None:
        consumer(name, *categories, **options).catch_up(self.factory)


def placed(number: int, **data: Any) -> list[Message]:
    """So many messages, each with an id of its own."""
    return [Message("Placed", data) for _ in range(number)]


def consumer(name: str, *categories: str, **options: Any) -> Consumer:
    """A consumer that does nothing."""
    made = Consumer(name, *categories, poll_interval=(0.01, 0.05), **options)
    made.on()(lambda message, unit: None)
    return made


@pytest.fixture
def store(clean_database: URL) -> Iterator[Store]:
    engine = create_engine(clean_database)
    yield Store(engine)
    engine.dispose()
