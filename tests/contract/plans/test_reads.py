"""Reads scan no more than the rows from where they begin to where they end, in their categories.

What is expected is counted by a plain query. It holds for every read of a session, whatever it has
read before: a plan that is kept must be right for all categories and positions.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import URL, NullPool, create_engine

from tests.contract import client as contract
from tests.contract.plans.conftest import NUMBER

if TYPE_CHECKING:
    from tests.contract.client import Client
    from tests.contract.plans.conftest import Scanned

Measure = Callable[["Client", Callable[[], object]], "Scanned"]

FILTERS: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "true"),
    "correlation": (
        {"correlation": "seldom"},
        "message_store.category(metadata ->> 'correlationStreamName') = 'seldom'",
    ),
    "group": (
        {"consumer_group_member": 1, "consumer_group_size": 4},
        "message_store.is_member(stream_name, 1, 4)",
    ),
    "condition": ({"condition": "type = 'Rare'"}, "type = 'Rare'"),
    "everything": (
        {
            "correlation": "often",
            "consumer_group_member": 0,
            "consumer_group_size": 2,
            "condition": "position > 0",
        },
        "message_store.category(metadata ->> 'correlationStreamName') = 'often' "
        "AND message_store.is_member(stream_name, 0, 2)",
    ),
}

_LIMIT = f"global_position <= {NUMBER * 9 // 10}"
# They suggest the index of all positions to the planner.
_LIMITED: dict[str, tuple[dict[str, Any], str]] = {
    "limit": ({"condition": _LIMIT}, _LIMIT),
    "correlation and limit": (
        {"correlation": "seldom", "condition": _LIMIT},
        f"message_store.category(metadata ->> 'correlationStreamName') = 'seldom' AND {_LIMIT}",
    ),
}

_ALL = FILTERS | _LIMITED

POSITIONS = [1, NUMBER // 4, NUMBER - 500, NUMBER + 1]
BATCH_SIZES = [1, 1000, -1]

# The path from an index's root, for each category and each of several statements.
FEW = 60


class Layout:
    """Where the messages of each category are, and where those are that a filter keeps."""

    def __init__(self, client: Client) -> None:
        positions = "array_agg(global_position ORDER BY global_position)"
        kept_positions = ", ".join(
            f"coalesce({positions} FILTER (WHERE {condition}), '{{}}')"
            for _, condition in _ALL.values()
        )
        query = (
            f"SELECT message_store.category(stream_name), {positions}, {kept_positions} "
            "FROM message_store.messages GROUP BY 1"
        )
        self._all: dict[str, list[int]] = {}
        self._kept: dict[tuple[str, str], list[int]] = {}
        for category, everything, *kept in client.rows(query):
            self._all[category] = everything
            for filter_, positions in zip(_ALL, kept, strict=True):
                self._kept[category, filter_] = positions

    def necessary(
        self, categories: list[str] | None, position: int, batch_size: int, filter_: str
    ) -> int:
        """How many there are from a position on to the last that fits into a batch of each."""
        return sum(
            self._of(name, position, batch_size, filter_)
            for name in (self._all if categories is None else categories)
            if name in self._all
        )

    def _of(self, name: str, position: int, batch_size: int, filter_: str) -> int:
        kept, everything = self._kept[name, filter_], self._all[name]
        last = bisect_left(kept, position) + batch_size - 1
        end = NUMBER if batch_size == -1 or last >= len(kept) else kept[last]
        return max(0, bisect_right(everything, end) - bisect_left(everything, position))


@pytest.fixture(scope="module")
def layout(large_database: URL) -> Layout:
    with create_engine(large_database, poolclass=NullPool).connect() as connection:
        return Layout(contract.Client(connection))


def assert_few_are_scanned(
    client: Client,
    scanned: Measure,
    layout: Layout,
    function: str,
    name: str | list[str] | None,
    filter_: str,
) -> None:
    arguments, _ = _ALL[filter_]
    call = f"SELECT count(*) FROM message_store.{function}(:name, :position, :batch_size"
    call += "".join(f", {argument} => :{argument}" for argument in arguments) + ")"
    for position, batch_size in product(POSITIONS, BATCH_SIZES):
        if batch_size == -1 and position < NUMBER - 500:
            continue
        categories = [name] if isinstance(name, str) else name
        expected = layout.necessary(categories, position, batch_size, filter_)
        parameters = {"name": name, "position": position, "batch_size": batch_size} | arguments

        seen = scanned(client, partial(client.value, call, **parameters))

        case = f"{function}({name}, {position}, {batch_size}): {expected} rows"
        assert seen.rows <= expected + FEW, case
        assert seen.blocks <= expected + FEW, case


@pytest.fixture(params=["category", "stream"])
def client(large_client: Client, request: pytest.FixtureRequest) -> Client:
    """A client that has read often enough to keep its plans."""
    large_client.call("set_lock_granularity", request.param)
    for _ in range(8):
        large_client.read("get_category_messages", "tiny", 1, 1)
        large_client.read("get_messages", ["tiny"], 1, 1)
    return large_client


@pytest.mark.parametrize("filter_", _ALL)
def test_get_category_messages(
    client: Client, scanned: Measure, layout: Layout, filter_: str
) -> None:
    for category in ("tiny", "gone", "late", "main", "none"):
        assert_few_are_scanned(client, scanned, layout, "get_category_messages", category, filter_)


@pytest.mark.parametrize("filter_", _ALL)
def test_get_messages(client: Client, scanned: Measure, layout: Layout, filter_: str) -> None:
    for categories in (["tiny"], ["late"], ["gone", "late", "none"], ["main", "tiny"], None):
        assert_few_are_scanned(client, scanned, layout, "get_messages", categories, filter_)


@pytest.mark.parametrize("condition", [None, "true"])
def test_get_stream_messages(large_client: Client, scanned: Measure, condition: str | None) -> None:
    count = "SELECT count(*) FROM message_store.get_stream_messages("
    count += "'main-long', :position, :batch_size, :condition)"
    positions = [0, NUMBER // 2, NUMBER * 7 // 10 - 10, NUMBER]
    for position, batch_size in product(positions, [1, 10, 1000]):
        parameters = {"position": position, "batch_size": batch_size, "condition": condition}
        number = large_client.value(count, **parameters)

        seen = scanned(large_client, partial(large_client.value, count, **parameters))

        assert max(seen) <= number + FEW


def test_get_last_stream_message(large_client: Client, scanned: Measure) -> None:
    for type_ in [None, "Usual", "Rare"] * 4:
        read = partial(large_client.read, "get_last_stream_message", "main-long", type_)

        assert max(scanned(large_client, read)) <= FEW


def test_stream_version(large_client: Client, scanned: Measure) -> None:
    for stream_name in ["main-long", "tiny-1", "none-1"] * 4:
        seen = scanned(large_client, partial(large_client.call, "stream_version", stream_name))

        assert max(seen) <= FEW
