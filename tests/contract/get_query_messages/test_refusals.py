from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client
    from tests.contract.conftest import OpenClient

INVALID = "22023"
ITEM = "An item of a query must have a list of categories, and may have lists of types and tags: "


@pytest.mark.parametrize("query", [None, "null", "[]", "{}", '"course"', "1"])
def test_no_list_of_items(client: Client, query: str | None) -> None:
    shown = "<NULL>" if query is None else query

    with client.refused(INVALID, f"A query must be a list of items: {shown}"):
        client.read("get_query_messages", query)


@pytest.mark.parametrize(
    "item",
    [
        {},
        "course",
        ["course"],
        [],
        [{"categories": ["course"]}],
        None,
        {"types": ["Opened"]},
        {"categories": []},
        {"categories": None},
        {"categories": "course"},
        {"categories": [1]},
        {"categories": [""]},
        {"categories": ["course", None]},
        {"categories": ["course"], "types": "Opened"},
        {"categories": ["course"], "types": [1]},
        {"categories": ["course"], "tags": "course:1"},
        {"categories": ["course"], "tags": [""]},
        {"categories": ["course"], "tags": [["course:1"]]},
        # It would match more than what is meant.
        {"categories": ["course"], "tag": ["course:1"]},
    ],
)
def test_invalid_item(client: Client, item: Any) -> None:
    for query in ([item], [{"categories": ["course"]}, item]):
        with client.refused(INVALID) as caught:
            client.read("get_query_messages", json.dumps(query))
        assert ITEM in str(caught.value)


@pytest.mark.parametrize("name", ["course-1", "course-", "-1"])
def test_stream_name(client: Client, name: str) -> None:
    query = json.dumps([{"categories": ["course", name]}])

    with client.refused("not_a_category", f"Must be a category: {name}"):
        client.read("get_query_messages", query)


@pytest.mark.parametrize("isolation_level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_old_snapshot(open_any_client: OpenClient, isolation_level: str) -> None:
    client = open_any_client(isolation_level)

    with client.refused("read_not_exact"):
        client.read("get_query_messages", '[{"categories": ["course"]}]')
