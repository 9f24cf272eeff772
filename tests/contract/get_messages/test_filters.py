from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.client import Client

CORRELATIONS = [None, "shop-1", "shop-2+3", "shop:order-1", "shop"]

pytestmark = pytest.mark.parametrize("categories", [None, ["account", "order"]], ids=str)


@pytest.fixture(autouse=True)
def messages(client: Client) -> None:
    client.set_local("message_store.sql_condition", "on")
    for number, correlation in product(range(6), CORRELATIONS):
        client.write(
            ["account", "order", "account-"][number % 3] + ("" if number < 3 else f"-{number}+1"),
            metadata=f'{{"correlationStreamName": "{correlation}"}}' if correlation else None,
        )


def test_correlation(client: Client, categories: list[str] | None) -> None:
    messages = client.read("get_messages", categories, correlation="shop")

    assert [message.metadata for message in messages[:3]] == [
        f'{{"correlationStreamName": "{name}"}}' for name in ("shop-1", "shop-2+3", "shop")
    ]
    assert len(messages) == 6 * 3


@pytest.mark.parametrize("size", [1, 2, 3, 100_000])
def test_consumer_group(
    client: Client,
    expected_hash: Callable[[str], int],
    categories: list[str] | None,
    size: int,
) -> None:
    def member_of(stream_name: str) -> int:
        _, dash, stream_id = stream_name.partition("-")
        return abs(expected_hash(stream_id.split("+")[0] if dash else stream_name)) % size

    everything = client.read("get_messages", categories)
    for member in {member_of(message.stream_name) for message in everything}:
        messages = client.read(
            "get_messages",
            categories,
            consumer_group_member=member,
            consumer_group_size=size,
        )

        kept = [message for message in everything if member_of(message.stream_name) == member]
        assert messages == kept


@pytest.mark.parametrize(
    ("condition", "number"),
    [("true", 30), ("false", 0), ("position = 0 OR false", 6), ("messages.metadata IS NULL", 6)],
)
def test_condition(
    client: Client, categories: list[str] | None, condition: str, number: int
) -> None:
    assert len(client.read("get_messages", categories, condition=condition)) == number


def test_everything_at_once(client: Client, categories: list[str] | None) -> None:
    everything = client.read("get_messages", categories)
    arguments: dict[str, Any] = {"correlation": "shop", "condition": "position > 0"}

    messages = client.read(
        "get_messages", categories, everything[7].global_position, 5, **arguments
    )
    of_group = [
        client.read(
            "get_messages",
            categories,
            everything[7].global_position,
            -1,
            **arguments,
            consumer_group_member=member,
            consumer_group_size=2,
        )
        for member in range(2)
    ]

    kept = [
        message
        for message in everything[7:]
        if message.metadata
        and '"shop' in message.metadata
        and "order" not in message.metadata
        and message.position > 0
    ]
    assert len(kept) > 5
    assert messages == kept[:5]
    assert sorted(of_group[0] + of_group[1], key=lambda message: message.global_position) == kept  # type: ignore[operator]
