"""The job loses its connection before and after each of its statements, and at each commit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, Connection, Engine, create_engine, event, select, text
from sqlalchemy.exc import DBAPIError

from mdb_sqla import archive, retention, tables
from mdb_sqla.admin.verification import data_rules
from mdb_sqla.archive.location import Location
from mdb_sqla.archive.manifest import checked_blocks
from mdb_sqla.database.citus import is_on_citus
from tests.retention.conftest import Store

BATCHES: list[set[int]] = [{1, 2, 4}, {5, 6}]
"""The global positions that the job deletes, batch by batch."""

# 3 has no policy, the consumer has not handled 7, and 8 is too young.
MESSAGES = """
  INSERT INTO message_store.messages (global_position, stream_name, position, type, data, time)
  SELECT number, stream_name, position, 'T', to_jsonb(number), now()::timestamp - age
  FROM (VALUES
    (1, 'order-1', 0, interval '9 d'), (2, 'order-2', 0, '8 d'), (3, 'other-1', 0, '8 d'),
    (4, 'order-1', 1, '7 d'), (5, 'order-2', 1, '6 d'), (6, 'order-3', 0, '5 d'),
    (7, 'order-1', 2, '4 d'), (8, 'order-2', 2, '0 d')
  ) AS message (number, stream_name, position, age)
"""
HEADS = [
    {},
    {"order-1": 1, "order-2": 0},
    {"order-1": 1, "order-2": 1, "order-3": 0},
]
"""The heads of streams after each batch."""

ROWS = "SELECT m::text FROM message_store.messages AS m ORDER BY global_position"


class Cutter:
    """Ends the connection of a job at one place of its run, and counts the places.

    Args:
        engine: the job's engine.
        url: where to connect to for that.
    """

    def __init__(self, engine: Engine, url: URL) -> None:
        self._ending = create_engine(url, isolation_level="AUTOCOMMIT")
        self._at: int | None = None
        self._process = 0
        self.begin(None)
        event.listen(engine, "before_cursor_execute", self._before)
        event.listen(engine, "after_cursor_execute", self._after)
        event.listen(engine, "commit", self._committing)

    def begin(self, at: int | None) -> None:
        self._at = at
        self._numbers = count()
        self.places: list[str] = []
        self.committed = 0
        self.has_cut = False

    def close(self) -> None:
        self._ending.dispose()

    def on_batch(self, _deleted: int) -> None:
        self.committed += 1
        self._reach("committed")

    def _before(self, connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        self._process = _process_of(connection)
        self._reach(f"before {statement}")

    def _after(self, _connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        self._reach(f"after {statement}")

    def _committing(self, _connection: Connection) -> None:
        self._reach("before COMMIT")

    def _reach(self, place: str) -> None:
        if self.has_cut:
            return
        self.places.append(place)
        if next(self._numbers) == self._at:
            with self._ending.connect() as connection:
                # Waits until the process has ended.
                ended = text("SELECT pg_terminate_backend(:process, 10000)")
                assert connection.scalar(ended, {"process": self._process})
            self.has_cut = True


def _process_of(connection: Connection) -> int:
    driver: Any = connection.connection.dbapi_connection
    process: int = driver.info.backend_pid
    return process


class Scene:
    """The same store for each run, of which the job deletes two batches."""

    def __init__(self, store: Store, folder: Path | None) -> None:
        self.store = store
        self.folder = folder
        self._number = count()
        self.url: str | None = None
        self.before: list[str] = []

    def prepare(self) -> None:
        if self.folder is not None:
            self.url = str(self.folder / str(next(self._number)))
            Path(self.url).mkdir()
        with self.store.engine.begin() as connection:
            for table in (tables.stream_heads, tables.deleted_positions, tables.deletions):
                connection.execute(table.delete())
            connection.execute(text("TRUNCATE message_store.messages"))
            connection.execute(text(MESSAGES))
            retention.set_policy(connection, "order", keep_age=timedelta(days=1), archive=self.url)
        self.before = self.rows()

    def rows(self) -> list[str]:
        with self.store.engine.connect() as connection:
            return list(connection.scalars(text(ROWS)))

    def run(self, engine: Engine, cutter: Cutter) -> None:
        retention.run(engine, batch_size=3, on_batch=cutter.on_batch)

    def check(self, batches: int) -> None:
        """Check that so many batches are deleted, and that nothing else has happened."""
        gone = set[int]().union(*BATCHES[:batches])
        m = tables.messages.c
        with self.store.engine.connect() as connection:
            found = list(connection.scalars(select(m.global_position).order_by(m.global_position)))
            assert list(data_rules.streams(connection, deletions=True)) == []
        assert found == [position for position in range(1, 9) if position not in gone]
        assert dict(self.store.rows(tables.stream_heads)) == HEADS[batches]
        marks = self.store.rows(tables.deleted_positions)
        assert marks == ([("order", max(gone), True)] if gone else [])
        logged = [
            (kind, category, archive_url, messages, first, last)
            for _, kind, category, _, _, _, archive_url, messages, first, last, *_ in (
                self.store.rows(tables.deletions)
            )
        ]
        # A later run has an entry of its own.
        assert sum(entry[3] for entry in logged) == len(gone)
        assert {entry[:3] for entry in logged} <= {("retention", "order", self.url)}
        assert [logged[0][4], logged[-1][5]] == [min(gone), max(gone)] if gone else not logged
        assert gone <= self.archived()

    def archived(self) -> set[int]:
        """The global positions of the messages in the archive, which is intact."""
        if self.url is None:
            return set(range(1, 9))
        assert [each for each in archive.verify(self.url) if each.is_damage] == []
        location = Location(self.url)
        return {
            json.loads(line)["global_position"]
            for file in archive.files(self.url)
            for block in checked_blocks(file, location.read(file.path))
            for line in block
        }

    def check_restored(self) -> None:
        if self.url is not None:
            archive.restore(self.store.engine, self.url)
            assert self.rows() == self.before


@pytest.fixture(params=[False, True], ids=["deleted", "archived"])
def scene(request: pytest.FixtureRequest, store: Store, tmp_path: Path) -> Scene:
    store.consume("billing", "order")
    store.execute("UPDATE message_store.consumer_slots SET position = 6")
    store.execute("SELECT setval('message_store.messages_global_position_seq', 8)")
    return Scene(store, tmp_path if request.param else None)


@pytest.fixture
def engine(store: Store) -> Iterator[Engine]:
    """The engine of the job."""
    engine = create_engine(store.engine.url)
    with engine.connect() as connection:
        # The first connection sends statements of its own, and the first job asks this.
        is_on_citus(connection)
    yield engine
    engine.dispose()


@pytest.fixture
def cutter(engine: Engine, store: Store) -> Iterator[Cutter]:
    cutter = Cutter(engine, store.engine.url)
    yield cutter
    cutter.close()


def test_each_place_of_a_run(scene: Scene, engine: Engine, cutter: Cutter) -> None:
    scene.prepare()
    scene.run(engine, cutter)
    scene.check(2)
    scene.check_restored()
    places = cutter.places
    statements = [place for place in places if place.startswith("before ")]
    assert len(statements) >= (16 if scene.url is None else 26)
    assert places.count("before COMMIT") == places.count("committed") == 3
    assert sum("delete_messages" in place for place in statements) == 2

    for number, place in enumerate(places):
        scene.prepare()
        cutter.begin(number)
        if number == len(places) - 1:
            scene.run(engine, cutter)
        else:
            with pytest.raises(DBAPIError) as lost:
                scene.run(engine, cutter)
            assert lost.value.connection_invalidated, place
        assert cutter.has_cut, place
        assert cutter.places == places[: number + 1], place
        # The first transaction only reads the policies.
        scene.check(max(cutter.committed - 1, 0))

        engine.dispose()
        cutter.begin(None)
        scene.run(engine, cutter)
        scene.check(2)
        scene.check_restored()
