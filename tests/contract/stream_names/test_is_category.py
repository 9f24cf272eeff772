from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client


@pytest.mark.parametrize(
    ("stream_name", "is_category"),
    [
        ("a:command-1+2", False),
        ("a:command", True),
        ("a", True),
        ("a-", False),
        ("-", False),
        ("", True),
        # The contract leaves this open; the original answers true.
        (None, True),
    ],
)
def test_is_category(client: Client, stream_name: str | None, is_category: bool) -> None:
    assert client.call("is_category", stream_name=stream_name) is is_category
