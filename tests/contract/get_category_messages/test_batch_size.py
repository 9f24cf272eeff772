from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client


@pytest.mark.parametrize(
    ("batch_size", "number"),
    [(1, 1), (2, 2), (1001, 1001), (2**40, 1002), (0, 0), (-1, 1002), (None, 1000)],
)
def test_batch_size_is_the_most_that_is_returned(
    client: Client, batch_size: int | None, number: int
) -> None:
    client.insert("account-1", 1002)

    messages = client.read("get_category_messages", "account", batch_size=batch_size)

    assert [message.position for message in messages] == list(range(number))


def test_batch_size_may_be_left_out(client: Client) -> None:
    client.insert("account-1", 1002)

    assert len(client.read("get_category_messages", "account")) == 1000


def test_batch_size_counts_messages_of_the_category(client: Client) -> None:
    for stream_name in ("shop-1", "account-1", "shop-1", "account-2", "account-1"):
        client.write(stream_name)

    messages = client.read("get_category_messages", "account", 1, 2)

    assert [message.stream_name for message in messages] == ["account-1", "account-2"]
