from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.contract.client import Client


def test_message_store_version_is_that_of_the_contract(client: Client) -> None:
    assert client.call("message_store_version") == "1.3.0"
