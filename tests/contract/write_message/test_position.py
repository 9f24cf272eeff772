from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client


@pytest.mark.parametrize(
    "stream_name", ["account-1", "account:command-1+2", "account", "a-", "ä-1"]
)
def test_positions_count_from_zero(client: Client, stream_name: str) -> None:
    assert [client.write(stream_name) for _ in range(3)] == [0, 1, 2]


def test_every_stream_counts_for_itself(client: Client) -> None:
    streams = ["account-1", "account-2", "account-1", "account-10", "account", "account-1"]

    assert [client.write(stream) for stream in streams] == [0, 0, 1, 0, 0, 2]


def test_stored_position_is_the_one_returned(client: Client) -> None:
    client.write("account-1", type="Opened")
    position = client.write("account-1", type="Closed")

    stored = client.value("SELECT position FROM message_store.messages WHERE type = 'Closed'")

    assert stored == position == 1


def test_what_is_rolled_back_leaves_no_gap(client: Client) -> None:
    client.write("account-1")
    with client.connection.begin_nested() as savepoint:
        assert client.write("account-1") == 1
        savepoint.rollback()

    assert client.write("account-1") == 1
