from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client

STREAMS = ["shop-1", "account-1", "order:command-1", "account-2", "shop-1", "account", "accounts-1"]


@pytest.fixture(autouse=True)
def messages(client: Client) -> None:
    for stream_name in STREAMS:
        client.write(stream_name, metadata='{"a": 1}')


@pytest.mark.parametrize(
    ("categories", "streams"),
    [
        (None, STREAMS),
        (["account"], ["account-1", "account-2", "account"]),
        (["shop", "account"], ["shop-1", "account-1", "account-2", "shop-1", "account"]),
        (["account", "account"], ["account-1", "account-2", "account"]),
        (["order:command", "other"], ["order:command-1"]),
        (["order", "other", ""], []),
        ([], []),
    ],
)
def test_messages_of_the_categories_in_the_order_of_the_store(
    client: Client, categories: list[str] | None, streams: list[str]
) -> None:
    messages = client.read("get_messages", categories=categories)

    assert [message.stream_name for message in messages] == streams
    global_positions = [message.global_position for message in messages]
    assert global_positions == sorted(set(global_positions))


def test_everything_may_be_left_out(client: Client) -> None:
    assert [message.stream_name for message in client.read("get_messages")] == STREAMS


@pytest.mark.parametrize("categories", [None, ["account", "shop", "accounts", "order:command"]])
def test_rows_are_those_of_the_other_reads(client: Client, categories: list[str] | None) -> None:
    messages = client.read("get_messages", categories)

    assert [message for message in messages if message.stream_name.startswith("shop")] == (
        client.read("get_category_messages", "shop")
    )
    assert messages[0]._fields == client.read("get_category_messages", "shop")[0]._fields


def test_null_is_no_category(client: Client) -> None:
    messages = client.read("get_messages", ["shop", None])

    assert [message.stream_name for message in messages] == ["shop-1", "shop-1"]


@pytest.mark.parametrize("categories", [None, ["account", "shop"]])
def test_messages_come_in_the_order_of_their_global_positions(
    client: Client, categories: list[str] | None
) -> None:
    # Not in the order in which they are stored, which is the one of a scan of the table.
    client.execute("SELECT setval('message_store.messages_global_position_seq', 1000100)")
    client.execute(
        "INSERT INTO message_store.messages (global_position, stream_name, position, type) "
        "SELECT 1000000 + (number * 7) % 50, 'account-x' || number, 0, 'Opened' "
        "FROM generate_series(0, 49) AS number"
    )

    messages = client.read("get_messages", categories, 1_000_000)

    global_positions = [message.global_position for message in messages]
    assert global_positions == list(range(1000000, 1000050))
