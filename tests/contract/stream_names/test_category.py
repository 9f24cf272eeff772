from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client


@pytest.mark.parametrize(
    ("stream_name", "category"),
    [
        ("a:command-1+2", "a:command"),
        ("account-123", "account"),
        ("account", "account"),
        ("a-", "a"),
        ("a-b-c", "a"),
        ("a:command+position-1", "a:command+position"),
        ("größe-1", "größe"),
        ("-1", ""),
        ("", ""),
        (None, None),
    ],
)
def test_category(client: Client, stream_name: str | None, category: str | None) -> None:
    assert client.call("category", stream_name=stream_name) == category
