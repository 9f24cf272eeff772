"""After its first calls in a session, a function executes the plans that it has.

The server reports each statement and expression that it plans, with the function that contains it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.contract.plans.conftest import NUMBER

if TYPE_CHECKING:
    from tests.contract.client import Client

# A plan that depends on the arguments is made for the first five calls, whatever it costs.
FIRST_CALLS = 6
MORE_CALLS = 6

TAGS = {"tags": ["course:1"]}


@pytest.fixture
def planned(large_client: Client) -> list[str]:
    """Where in a function the client's session has planned something, for each time so far."""
    planned: list[str] = []
    driver_connection = large_client.connection.connection.driver_connection
    assert isinstance(driver_connection, psycopg.Connection)

    def note(notice: psycopg.errors.Diagnostic) -> None:
        assert notice.message_primary == "PLANNER STATISTICS"
        if notice.context:
            planned.append(notice.context)

    driver_connection.add_notice_handler(note)
    large_client.set_local("client_min_messages", "log")
    large_client.set_local("log_planner_stats", "on")
    return planned


def streams(number: int) -> list[str]:
    """Streams of two categories, of which there are more or fewer each time."""
    return [f"{name}-{number}" for name in ("main", "none", "late", "main-long")[number % 4 :]]


def condition(number: int) -> tuple[list[dict[str, Any]], int]:
    items = [{"categories": ["late", "gone"], **TAGS}, {"categories": ["none"], "types": ["T"]}]
    return items[: 1 + number % 2], NUMBER - 100 * number


def conditions(number: int) -> str:
    query, after = condition(number)
    return json.dumps([{"query": query, "after": after}])


def query(number: int) -> str:
    return json.dumps(condition(number)[0])


CALLS: dict[str, Callable[[Client, int], object]] = {
    "write_message": lambda client, number: client.write(f"main-{number}"),
    "write_messages": lambda client, number: client.write_batch(*streams(number)),
    "write_conditionally": lambda client, number: client.write_conditionally(
        *streams(number), unless=[condition(each) for each in range(1, 2 + number % 2)]
    ),
    "unmet_condition": lambda client, number: client.read(
        "unmet_condition", conditions(number), streams(number)
    ),
    "lock_streams": lambda client, number: client.call("lock_streams", streams(number)),
    "prepare_copy": lambda client, number: client.read("prepare_copy", streams(number), 1_000),
    "get_stream_messages": lambda client, number: client.read(
        "get_stream_messages", f"main-{number}", number
    ),
    "get_last_stream_message": lambda client, number: client.read(
        "get_last_stream_message", f"main-{number}"
    ),
    "get_category_messages": lambda client, number: client.read(
        "get_category_messages", "late", NUMBER - 100 * number
    ),
    "get_messages where nothing is": lambda client, number: client.read(
        "get_messages", ["late", "main", "none"][number % 3 :], NUMBER + 1
    ),
    "get_query_messages": lambda client, number: client.read(
        "get_query_messages", query(number), NUMBER - 100 * number
    ),
    "stream_version": lambda client, number: client.call("stream_version", f"main-{number}"),
}


@pytest.mark.parametrize("granularity", ["category", "stream"])
@pytest.mark.parametrize("function", CALLS)
def test_plans_are_kept(
    large_client: Client, planned: list[str], function: str, granularity: str
) -> None:
    large_client.call("set_lock_granularity", granularity)
    for number in range(FIRST_CALLS):
        CALLS[function](large_client, number)
    assert planned

    planned.clear()
    for number in range(MORE_CALLS):
        CALLS[function](large_client, number)

    assert planned == []


def test_get_messages_plans_the_statement_that_it_composes(
    large_client: Client, planned: list[str]
) -> None:
    def read() -> None:
        large_client.read("get_messages", ["late", "main"], NUMBER - 100)

    for _ in range(FIRST_CALLS):
        read()
    planned.clear()
    read()

    (where,) = planned
    assert "at RETURN QUERY" in where
