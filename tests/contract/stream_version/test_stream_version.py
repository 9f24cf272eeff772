from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client


@pytest.mark.parametrize("number", [1, 2, 12])
def test_stream_version_is_the_highest_position(client: Client, number: int) -> None:
    client.insert("account-1", number)

    assert client.call("stream_version", stream_name="account-1") == number - 1


def test_stream_version_is_that_of_this_very_stream(client: Client) -> None:
    client.insert("account-1", 2)
    client.insert("account-10", 3)
    client.insert("account", 4)

    assert client.call("stream_version", "account-1") == 1


@pytest.mark.parametrize("stream_name", ["account-1", "account", "", None])
def test_stream_version_is_null_where_there_is_no_message(
    client: Client, stream_name: str | None
) -> None:
    client.write("account-2")

    assert client.call("stream_version", stream_name) is None


def test_stream_version_follows_each_write(client: Client) -> None:
    written = [client.write("account-1") for _ in range(8)]

    assert written == list(range(8))
    assert client.call("stream_version", "account-1") == 7
