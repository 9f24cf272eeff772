from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client


@pytest.mark.parametrize("category", ["account", "account:command", "größe", "50%"])
def test_category_is_refused(client: Client, category: str) -> None:
    with client.refused("not_a_stream", f"Must be a stream name: {category}"):
        client.read("get_stream_messages", category)


def test_null_is_refused(client: Client) -> None:
    with client.refused("not_a_stream", "Must be a stream name: <NULL>"):
        client.read("get_stream_messages", None)


def test_stream_with_an_empty_id_is_a_stream(client: Client) -> None:
    client.write("account-")

    assert len(client.read("get_stream_messages", "account-")) == 1
