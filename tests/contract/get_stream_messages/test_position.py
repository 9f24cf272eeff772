from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client


@pytest.mark.parametrize("condition", [None, "true"])
@pytest.mark.parametrize(
    ("position", "positions"),
    [(0, [0, 1, 2]), (None, [0, 1, 2]), (1, [1, 2]), (2, [2]), (3, []), (-1, [0, 1, 2])],
)
def test_messages_from_the_position_on(
    client: Client, condition: str | None, position: int | None, positions: list[int]
) -> None:
    client.set_local("message_store.sql_condition", "on")
    client.insert("account-1", 3)

    messages = client.read("get_stream_messages", "account-1", position, condition=condition)

    assert [message.position for message in messages] == positions


def test_position_by_name(client: Client) -> None:
    client.insert("account-1", 3)

    (message,) = client.read("get_stream_messages", stream_name="account-1", position=2)

    assert message.position == 2


def test_position_may_be_left_out(client: Client) -> None:
    client.insert("account-1", 3)

    assert [message.position for message in client.read("get_stream_messages", "account-1")] == [
        0,
        1,
        2,
    ]
