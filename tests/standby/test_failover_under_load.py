"""A primary that is killed under load; clients find the promoted standby by their URL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Row

from mdb_sqla import StoreRewound
from tests.standby.clusters import SYNCHRONOUS
from tests.standby.scene import ENOUGH, Scene, scene_of
from tests.waiting import PATIENCE, wait_until


@pytest.mark.parametrize(
    ("granularity", "is_cut_off"),
    [("stream", False), ("category", True)],
    ids=["connected", "cut off"],
)
def test_a_synchronous_standby_has_all_that_was_acknowledged_or_published(
    request: pytest.FixtureRequest, granularity: str, is_cut_off: bool
) -> None:
    """If the standby is cut off, nothing is committed any more, until the primary is killed."""
    with scene_of(request, SYNCHRONOUS, granularity) as scene:
        if is_cut_off:
            scene.cluster.cut_off()
            wait_until(scene.cluster.waiting_commits)
        comes_back(scene)

        stored = scene.stored()
        assert stored.keys() >= set(scene.load.acknowledged)
        assert {UUID(each.headers["message_id"]) for each in scene.published()} == stored.keys()
        assert not any(isinstance(each, StoreRewound) for each in scene.load.troubles)
        agrees(scene, stored)


@pytest.mark.parametrize("granularity", ["category", "stream"])
def test_an_asynchronous_standby_lacks_the_end_and_nothing_else(
    request: pytest.FixtureRequest, granularity: str
) -> None:
    with scene_of(request, {}, granularity) as scene:
        scene.cluster.catch_up()
        scene.cluster.cut_off()
        scene.proceed()
        before = scene.stored()
        comes_back(scene)

        stored = scene.stored()
        lost = {id_: row for id_, row in before.items() if id_ not in stored}
        assert lost.keys() & set(scene.load.acknowledged)
        keeps_the_beginning(before, stored, granularity)
        agrees(scene, stored)
        # Others have taken their places, and nobody has mistaken them.
        assert {place_of(row) for row in lost.values()} & {place_of(row) for row in stored.values()}
        assert {row.global_position for row in lost.values()} & {
            row.global_position for row in stored.values()
        }
        published = Counter(UUID(each.headers["message_id"]) for each in scene.published())
        assert published.keys() >= stored.keys()
        assert published.keys() & lost.keys()
        assert set(published.values()) == {1}
        assert any(isinstance(each, StoreRewound) for each in scene.load.troubles)


def place_of(row: Row[Any]) -> tuple[str, int]:
    return row.stream_name, row.position


def comes_back(scene: Scene) -> None:
    """Fail over; all clients come back by themselves, and finish."""
    promoted = scene.fail_over()

    wait_until(lambda: min(scene.load.handled.values()) > promoted, 3 * PATIENCE)
    scene.proceed(2 * ENOUGH)
    wait_until(lambda: scene.rows("SELECT FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"))
    scene.finish()


def agrees(scene: Scene, stored: dict[UUID, Row[Any]]) -> None:
    """The application's rows are those of the messages, and each is handled once."""
    assert {row.id for row in scene.rows("SELECT id FROM orders")} == stored.keys()
    for consumer, types in {"shipping": "TR", "rare": "R"}.items():
        effects = scene.rows(
            f"SELECT message, global_position FROM effects WHERE consumer = '{consumer}'"
        )
        expected = {(id_, row.global_position) for id_, row in stored.items() if row.type in types}
        assert sorted(effects) == sorted(expected)
        done = scene.rows(
            "SELECT count(*) AS number FROM message_store.messages "
            f"WHERE message_store.category(stream_name) = '{consumer}{scene.load.category}'"
        )
        assert done[0].number == len(expected)


def keeps_the_beginning(
    before: dict[UUID, Row[Any]], after: dict[UUID, Row[Any]], granularity: str
) -> None:
    """Of what there was, a beginning is left: of each stream, or of the whole category."""

    def is_beginning(ids: Collection[UUID]) -> bool:
        kept = [id_ in after for id_ in ids]
        return kept == sorted(kept, reverse=True)

    if granularity == "category":
        assert is_beginning(before.keys())
    for stream_name in {row.stream_name for row in before.values()}:
        assert is_beginning([id_ for id_, row in before.items() if row.stream_name == stream_name])
    for id_, row in before.items():
        assert after.get(id_, row) == row
