from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client


@pytest.mark.parametrize("condition", [None, "true"])
@pytest.mark.parametrize(
    ("batch_size", "number"),
    [(1, 1), (2, 2), (1001, 1001), (2**40, 1002), (0, 0), (-1, 1002), (None, 1000)],
)
def test_batch_size_is_the_most_that_is_returned(
    client: Client, condition: str | None, batch_size: int | None, number: int
) -> None:
    client.set_local("message_store.sql_condition", "on")
    client.insert("account-1", 1002)

    messages = client.read(
        "get_stream_messages", "account-1", batch_size=batch_size, condition=condition
    )

    assert [message.position for message in messages] == list(range(number))


def test_batch_size_may_be_left_out(client: Client) -> None:
    client.insert("account-1", 1002)

    assert len(client.read("get_stream_messages", "account-1")) == 1000


def test_batch_begins_at_the_position(client: Client) -> None:
    client.insert("account-1", 5)

    messages = client.read("get_stream_messages", "account-1", 2, 2)

    assert [message.position for message in messages] == [2, 3]
