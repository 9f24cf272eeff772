"""A load on a cluster, and a look at what is left of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Row, text

from mdb_sqla.admin.granularity_switch import set_lock_granularity
from tests.relay.receiving import FromNats, Received
from tests.standby.clusters import Cluster, cluster_of
from tests.standby.load import TABLES, Load
from tests.waiting import PATIENCE, wait_until

ENOUGH = 60  # messages, more than the positions that a promoted server leaves out


class Scene:
    """A load on a cluster, and a broker with what its relay publishes."""

    def __init__(
        self, cluster: Cluster, load: Load, broker: FromNats, runner: asyncio.Runner
    ) -> None:
        self.cluster = cluster
        self.load = load
        self.server = cluster.primary
        self._broker = broker
        self._runner = runner

    def proceed(self, number: int = ENOUGH) -> None:
        """Return when so many more messages are acknowledged, and some handled and published."""
        acknowledged, last = len(self.load.acknowledged), self._last()

        def has_proceeded() -> bool:
            self.load.check()
            return (
                len(self.load.acknowledged) >= acknowledged + number
                and min(self._positions("max").values()) > last
            )

        wait_until(has_proceeded, 3 * PATIENCE)

    def _last(self) -> int:
        last = "SELECT coalesce(max(global_position), 0) AS last FROM message_store.messages"
        return int(self.rows(last)[0].last)

    def _positions(self, which: str) -> dict[str, int]:
        """The lowest (min) or highest (max) position of each consumer's slots."""
        rows = self.rows(
            f"SELECT consumer, {which}(position) AS position "
            "FROM message_store.consumer_slots GROUP BY consumer"
        )
        found = {row.consumer: int(row.position) for row in rows}
        return {"shipping": 0, "rare": 0, "relay": 0, **found}

    def rows(self, statement: str) -> list[Row[Any]]:
        with self.server.connect() as connection:
            return list(connection.execute(text(statement)))

    def stored(self) -> dict[UUID, Row[Any]]:
        """The messages of the category by id, in order."""
        rows = self.rows(
            "SELECT id, stream_name, type, position, global_position FROM message_store.messages "
            f"WHERE message_store.category(stream_name) = '{self.load.category}' "
            "ORDER BY global_position"
        )
        return {row.id: row for row in rows}

    def fail_over(self) -> float:
        """Kill the primary and promote the standby; return when that was done."""
        self.cluster.kill()
        self.server = self.cluster.promote()
        return time.monotonic()

    def finish(self) -> None:
        """Stop the writers, and return when all that is stored is handled, published and read."""
        self.load.stop_writers()

        def is_done() -> bool:
            self.load.check()
            stored = self.stored()
            last = max(row.global_position for row in stored.values())
            return (
                min(self._positions("min").values()) >= last and self.load.followed >= stored.keys()
            )

        wait_until(is_done, 3 * PATIENCE)

    def published(self) -> list[Received]:
        return self._runner.run(self._broker.received())


@contextmanager
def scene_of(
    request: pytest.FixtureRequest, settings: dict[str, str], granularity: str
) -> Iterator[Scene]:
    """Run a load on a cluster whose primary has these settings."""
    runner = request.getfixturevalue("runner")
    category = request.getfixturevalue("name")
    broker = FromNats(request.getfixturevalue("nats_server"), category)
    runner.run(broker.prepare())
    with cluster_of(request, settings) as cluster:
        set_lock_granularity(cluster.primary, granularity)
        with cluster.primary.begin() as connection:
            for statement in TABLES:
                connection.execute(text(statement))
        load = Load(category)
        with load.running(cluster.url(), cluster.url("asyncpg"), broker):
            scene = Scene(cluster, load, broker, runner)
            scene.proceed()
            yield scene
