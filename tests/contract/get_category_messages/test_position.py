from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client


@pytest.fixture
def global_positions(client: Client) -> list[int]:
    """The global positions of three messages of the category, with another's between them."""
    for stream_name in ("account-1", "account-2", "shop-1", "account-1"):
        client.write(stream_name)
    return list(
        client.execute(
            "SELECT global_position FROM message_store.messages "
            "WHERE stream_name LIKE 'account%' ORDER BY global_position"
        ).scalars()
    )


@pytest.mark.parametrize("first", [0, 1, 2])
@pytest.mark.parametrize("offset", [0, 1])
def test_messages_from_the_global_position_on(
    client: Client, global_positions: list[int], first: int, offset: int
) -> None:
    position = global_positions[first] + offset

    messages = client.read("get_category_messages", "account", position)

    assert [message.global_position for message in messages] == global_positions[first + offset :]


@pytest.mark.parametrize("position", [None, 1, 0, -5])
def test_messages_from_the_start(
    client: Client, global_positions: list[int], position: int | None
) -> None:
    messages = client.read("get_category_messages", category="account", position=position)

    assert [message.global_position for message in messages] == global_positions


def test_position_may_be_left_out(client: Client, global_positions: list[int]) -> None:
    messages = client.read("get_category_messages", "account")

    assert [message.global_position for message in messages] == global_positions


@pytest.mark.parametrize("arguments", [{}, {"position": None}])
def test_default_is_one(client: Client, arguments: dict[str, None]) -> None:
    client.execute(
        "INSERT INTO message_store.messages (global_position, stream_name, position, type) "
        "VALUES (0, 'account-1', 0, 'Opened'), (1, 'account-1', 1, 'Opened')"
    )

    messages = client.read("get_category_messages", "account", **arguments)

    assert [message.global_position for message in messages] == [1]
