from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client


@pytest.mark.parametrize(
    ("stream_name", "id_"),
    [
        ("a:command-1+2", "1+2"),
        ("account-123", "123"),
        ("account", None),
        ("a-", ""),
        ("a-b-c", "b-c"),
        ("a--b", "-b"),
        ("a+b-c", "c"),
        ("größe-ä", "ä"),
        ("-1", "1"),
        ("", None),
        (None, None),
    ],
)
def test_id(client: Client, stream_name: str | None, id_: str | None) -> None:
    assert client.call("id", stream_name=stream_name) == id_
