from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client

MESSAGES: list[tuple[str, str, list[str]]] = [
    ("course-1", "Defined", ["course:1"]),
    ("course-2", "Defined", ["course:2"]),
    ("enrollment-1", "Enrolled", ["course:1", "student:1"]),
    ("enrollment-2", "Enrolled", ["student:2", "course:1"]),
    ("enrollment-1", "Withdrawn", ["course:1", "student:1"]),
    ("course", "Defined", ["course:1"]),
    ("invoice-1", "Sent", ["student:1"]),
]
FAR = 2_000  # beyond which tags are looked up in their index


def item(*categories: str, **more: list[str]) -> dict[str, Any]:
    return {"categories": categories, **more}


QUERIES: dict[str, tuple[list[dict[str, Any]], list[int]]] = {
    "a category": ([item("course")], [0, 1, 5]),
    "several categories": ([item("course", "invoice")], [0, 1, 5, 6]),
    "a category twice": ([item("course", "course")], [0, 1, 5]),
    "no messages": ([item("order")], []),
    "a type": ([item("enrollment", types=["Withdrawn"])], [4]),
    "several types": ([item("enrollment", types=["Enrolled", "Withdrawn"])], [2, 3, 4]),
    "no such type": ([item("enrollment", types=["Defined"])], []),
    "a tag": ([item("enrollment", tags=["student:1"])], [2, 4]),
    "all tags": ([item("enrollment", tags=["student:1", "course:1"])], [2, 4]),
    "not any of the tags": ([item("enrollment", tags=["student:1", "student:2"])], []),
    "a part of a tag": ([item("enrollment", tags=["student:"])], []),
    "a tag of several categories": ([item("enrollment", "invoice", tags=["student:1"])], [2, 4, 6]),
    "a tag and a type": ([item("enrollment", tags=["course:1"], types=["Enrolled"])], [2, 3]),
    "empty lists": ([item("course", types=[], tags=[])], [0, 1, 5]),
    "two items": (
        [item("course", tags=["course:1"]), item("enrollment", tags=["student:2"])],
        [0, 3, 5],
    ),
    "items that overlap": (
        [item("enrollment", tags=["course:1"]), item("enrollment", tags=["student:1"])],
        [2, 3, 4],
    ),
    "items of which one has no tags": (
        [item("invoice"), item("enrollment", tags=["student:1"])],
        [2, 4, 6],
    ),
    "items of one category of which one has no tags": (
        [item("enrollment", types=["Enrolled"]), item("enrollment", tags=["student:1"])],
        [2, 3, 4],
    ),
}


@pytest.fixture(params=[0, FAR], ids=["near", "far"])
def positions(client: Client, request: pytest.FixtureRequest) -> list[int]:
    """The global positions of the messages; many others may lie between the first ones."""
    positions = []
    for stream_name, type_, tags in MESSAGES:
        positions.append(client.write_tagged(stream_name, *tags, type=type_))
        if len(positions) == 1:
            client.execute(
                "SELECT setval('message_store.messages_global_position_seq', :last)",
                last=positions[0] + request.param + 1,
            )
    return positions


def read(client: Client, query: list[dict[str, Any]], *arguments: Any, **named: Any) -> list[int]:
    rows = client.read("get_query_messages", json.dumps(query), *arguments, **named)
    return [row.global_position for row in rows]


@pytest.mark.parametrize("query", QUERIES)
def test_what_matches(client: Client, positions: list[int], query: str) -> None:
    items, expected = QUERIES[query]

    assert read(client, items, positions[0]) == [positions[each] for each in expected]


@pytest.mark.parametrize("query", QUERIES)
def test_positions_and_batch_size(client: Client, positions: list[int], query: str) -> None:
    items, expected = QUERIES[query]
    matches = [positions[each] for each in expected]

    for first in positions:
        after = [each for each in matches if each >= first]
        assert read(client, items, first, -1) == after
        for number in (1, 2):
            assert read(client, items, first, number) == after[:number]
        for last in positions:
            found = read(client, items, first, 1000, last)
            assert found == [each for each in after if each <= last]


def test_defaults(client: Client, positions: list[int]) -> None:
    query = json.dumps([item("course")])

    for arguments in ({}, {"position": None, "batch_size": None, "up_to": None}):
        found = client.read("get_query_messages", query, **arguments)
        assert [row.stream_name for row in found] == ["course-1", "course-2", "course"]


def test_rows_are_messages(client: Client) -> None:
    client.write_tagged("course-1", "course:1")

    (row,) = client.read("get_query_messages", json.dumps([item("course")]))

    (expected,) = client.read("get_category_messages", "course")
    assert row == expected


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize(
    "metadata",
    [
        None,
        "{}",
        "[]",
        "null",
        '"course:1"',
        '{"tags": null}',
        '{"tags": "course:1"}',
        '{"tags": {"course:1": 1}}',
        '{"tags": [["course:1"]]}',
        '{"tags": [1]}',
    ],
)
def test_other_metadata_never_matches_a_tag(client: Client, metadata: str, far: bool) -> None:
    client.write("course-1", metadata=metadata)
    first: int = client.value("SELECT max(global_position) FROM message_store.messages")
    if far:
        client.execute(
            "SELECT setval('message_store.messages_global_position_seq', :last)", last=first + FAR
        )

    assert read(client, [item("course", tags=["course:1"])], first) == []
    assert len(read(client, [item("course")], first)) == 1
