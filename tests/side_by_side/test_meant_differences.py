"""Each difference that is meant, shown; so that none is listed that isn't there any more."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha512
from typing import Any
from uuid import UUID

import pytest

from tests.side_by_side.calls import Call
from tests.side_by_side.differences import DIFFERENCES
from tests.side_by_side.pair import Pair

NAMES = [known.name for known in DIFFERENCES]


def write(number: int, stream_name: str, **arguments: Any) -> Call:
    message = {"id": str(UUID(int=number)), "type": "A", "data": "{}"}
    return Call("write_message", {"stream_name": stream_name, **message, **arguments})


def read(category: str, **arguments: Any) -> Call:
    return Call("get_category_messages", {"category": category, **arguments})


@pytest.fixture
def stores(pair: Pair) -> Iterator[Pair]:
    """Both stores with the same few messages in them."""
    with pair.fresh():
        for number, stream_name in enumerate(["a-1", "a-2", "a", "a-3", "a", "a-1", "a-"] * 2):
            assert pair.call(write(number, stream_name)) is None
        yield pair


@pytest.mark.parametrize(
    "refused",
    [
        write(99, "a-1", expected_version=0),
        Call("get_stream_messages", {"stream_name": "a"}),
        read("a-1"),
        read("a", correlation="a-1"),
        read("a", consumer_group_member=0),
        read("a", consumer_group_member=0, consumer_group_size=0),
        read("a", condition="true"),
        Call("get_stream_messages", {"stream_name": "a-1", "condition": "true"}),
    ],
    ids=lambda call: f"{call.function}({', '.join(call.arguments)})",
)
def test_errors_are_those_of_the_original(stores: Pair, refused: Call) -> None:
    assert stores.call(refused) is None


@pytest.mark.parametrize("setting", ["", "OFF", "false", "0", "no", "maybe"])
def test_only_what_is_true_activates_conditions(stores: Pair, setting: str) -> None:
    call = Call("get_stream_messages", {"stream_name": "a-1", "condition": "true"})

    for true in ("on", "ON", "true", "1", "yes"):
        settings = {"sql_condition": true}
        assert stores.call(Call(call.function, call.arguments, settings=settings)) is None
    explanation = stores.call(
        Call(call.function, call.arguments, settings={"sql_condition": setting})
    )

    assert explanation is DIFFERENCES[NAMES.index("only what is true activates conditions")]


@pytest.mark.parametrize("setting", ["debug", "debug_get"])
def test_whatever_is_true_turns_debugging_on(stores: Pair, setting: str) -> None:
    explanation = stores.call(
        Call("get_stream_messages", {"stream_name": "a-1"}, settings={setting: "true"})
    )

    assert explanation is DIFFERENCES[NAMES.index("whatever is true turns debugging on")]


@pytest.mark.parametrize("size", [2**15, 2**31, 2**63 - 1])
def test_consumer_groups_of_any_size(stores: Pair, size: int) -> None:
    explanation = stores.call(read("a", consumer_group_member=0, consumer_group_size=size))

    assert explanation is DIFFERENCES[NAMES.index("consumer groups of any size")]


@pytest.mark.parametrize("batch_size", [None, -1, 3])
def test_streams_without_an_id_belong_to_a_member(stores: Pair, batch_size: int | None) -> None:
    explanations = {
        stores.call(
            read("a", consumer_group_member=member, consumer_group_size=3, batch_size=batch_size)
        )
        for member in range(3)
    }

    name = "streams without an id belong to a member of a consumer group"
    assert DIFFERENCES[NAMES.index(name)] in explanations
    assert len(explanations - {None}) == 1


def test_a_refused_id_leaves_a_gap_with_a_generic_plan(stores: Pair) -> None:
    explanation = stores.call(write(0, "a-1", id="no uuid"))

    assert explanation is DIFFERENCES[NAMES.index("a refused id leaves a gap")]


@pytest.mark.parametrize("isolation_level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_an_insert_is_tried_under_an_old_snapshot(pair: Pair, isolation_level: str) -> None:
    too_long = "".join(sha512(bytes([number])).hexdigest() for number in range(22))
    with pair.fresh(isolation_level=isolation_level):
        explanations = {
            pair.call(write(number, stream_name, expected_version=7))
            for number, stream_name in enumerate(["a-1", "", too_long])
        }

    name = "an insert is tried before a version is refused under an old snapshot"
    assert explanations == {DIFFERENCES[NAMES.index(name)]}


def test_a_condition_calls_functions_of_the_store(pair: Pair) -> None:
    call = Call(
        "get_category_messages",
        {"category": "a", "condition": "cardinal_id(stream_name) = '1'"},
        settings={"sql_condition": "on"},
    )
    with pair.fresh(search_path='message_store, "My \'Ev""ents% :x"'):
        assert pair.call(write(1, "a-1+2")) is None
        assert pair.call(call) is None


@pytest.mark.parametrize("isolation_level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_category_is_read_at_read_committed(pair: Pair, isolation_level: str) -> None:
    with pair.fresh(isolation_level=isolation_level):
        assert pair.call(write(1, "a-1")) is None
        explanation = pair.call(read("a"))

    name = "where writers lock streams, categories are read at READ COMMITTED"
    assert explanation is (DIFFERENCES[NAMES.index(name)] if pair.mode.by_stream else None)
