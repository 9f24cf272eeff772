from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client


@pytest.mark.parametrize("name", ["account-123", "account-", "account:command-1+2", "größe-50%"])
def test_stream_name_is_refused(client: Client, name: str) -> None:
    with client.refused("not_a_category", f"Must be a category: {name}"):
        client.read("get_category_messages", name)
