from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client

pytestmark = pytest.mark.parametrize("categories", [None, ["account", "shop"]], ids=str)


@pytest.fixture
def first(client: Client) -> int:
    """The global position of the first of 1,002 messages, of two categories in turn."""
    client.execute(
        "INSERT INTO message_store.messages (stream_name, position, type) "
        "SELECT (ARRAY['account-1', 'shop-1'])[1 + number % 2], number, 'Opened' "
        "FROM generate_series(0, 1001) AS number"
    )
    first = client.value("SELECT min(global_position) FROM message_store.messages")
    assert isinstance(first, int)
    return first


@pytest.mark.parametrize(
    ("batch_size", "number"),
    [(1, 1), (3, 3), (1001, 1001), (2**40, 1002), (0, 0), (-1, 1002), (None, 1000)],
)
def test_batch_size_is_the_most_that_is_returned(
    client: Client, first: int, categories: list[str] | None, batch_size: int | None, number: int
) -> None:
    messages = client.read("get_messages", categories, batch_size=batch_size)

    assert [message.global_position for message in messages] == list(range(first, first + number))


def test_batch_size_may_be_left_out(
    client: Client, first: int, categories: list[str] | None
) -> None:
    assert len(client.read("get_messages", categories)) == 1000


@pytest.mark.parametrize("offset", [0, 1, 500, 1001, 1002, 5000])
def test_position_is_the_first_that_is_returned(
    client: Client, first: int, categories: list[str] | None, offset: int
) -> None:
    messages = client.read("get_messages", categories, first + offset, 2)

    expected = range(first + offset, min(first + offset + 2, first + 1002))
    assert [message.global_position for message in messages] == list(expected)


@pytest.mark.parametrize("position", [None, 1, 0, -1, -(2**63)])
def test_null_and_what_is_below_the_first_begin_at_the_first(
    client: Client, first: int, categories: list[str] | None, position: int | None
) -> None:
    (message,) = client.read("get_messages", categories, position, 1)

    assert message.global_position == first


def test_pages_are_the_whole(client: Client, first: int, categories: list[str] | None) -> None:
    read, position = [], first
    while batch := client.read("get_messages", categories, position, 400):
        read += [message.global_position for message in batch]
        position = read[-1] + 1

    assert read == list(range(first, first + 1002))
