"""A result has no gaps: a message that was not in it appears after its position."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client
    from tests.contract.conftest import OpenClient

QUERIES = {
    "category": [{"categories": ["course"]}],
    "categories": [{"categories": ["invoice", "course"]}],
    "tags": [{"categories": ["course"], "tags": ["course:1"]}],
}
WRITERS: dict[str, Callable[[Client], Any]] = {
    "write_message": lambda client: client.write(
        "course-1", metadata='{"tags": ["course:1"]}', type="First"
    ),
    "write_messages": lambda client: client.write_tagged("course-1", "course:1", type="First"),
    "write_conditionally": lambda client: client.write_conditionally(
        {"stream_name": "course-1", "type": "First", "metadata": {"tags": ["course:1"]}},
        unless=[(QUERIES["tags"], 0)],
    ),
}


def types(client: Client, query: str) -> list[str]:
    return [row.type for row in client.read("get_query_messages", json.dumps(QUERIES[query]))]


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_later_message_waits_for_the_writer(
    open_stream_client: OpenClient, query: str, write: Callable[[Client], Any]
) -> None:
    writer, other, reader = (open_stream_client() for _ in range(3))
    write(writer)
    # A writer with a condition has its category to itself, and other writers wait for it.
    name = "course-2" if write is not WRITERS["write_conditionally"] else "invoice-1"
    other.write_tagged(name, "course:1", type="Second")
    other.connection.commit()

    assert types(reader, query) == []

    writer.connection.commit()
    seen = ["First", "Second"] if name == "course-2" or query == "categories" else ["First"]
    assert types(reader, query) == seen


def test_writers_of_other_categories_do_not_matter(open_any_client: OpenClient) -> None:
    writer, other, reader = (open_any_client() for _ in range(3))
    writer.write("invoice-1")
    other.write_tagged("course-2", "course:1", type="Second")
    other.connection.commit()

    assert types(reader, "tags") == ["Second"]
    assert types(reader, "categories") == []


@pytest.mark.parametrize("query", QUERIES)
def test_own_messages_are_seen(open_any_client: OpenClient, query: str) -> None:
    writer = open_any_client()
    writer.write_tagged("course-1", "course:1", type="Own")

    assert types(writer, query) == ["Own"]
