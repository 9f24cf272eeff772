from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client


@pytest.mark.parametrize(
    ("stream_name", "cardinal_id"),
    [
        ("a:command-1+2", "1"),
        ("a-1+2+3", "1"),
        ("account-123", "123"),
        ("account", None),
        ("a-", ""),
        ("a-+2", ""),
        ("a-b-c+d", "b-c"),
        ("a+b-c+d", "c"),
        ("a+b", None),
        ("", None),
        (None, None),
    ],
)
def test_cardinal_id(client: Client, stream_name: str | None, cardinal_id: str | None) -> None:
    assert client.call("cardinal_id", stream_name=stream_name) == cardinal_id
