from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("get_stream_messages", ["account-1"]),
        ("get_category_messages", ["account"]),
        ("get_messages", [["account", "shop"]]),
        ("get_messages", []),
    ],
)
def test_reads_pass_the_checks_that_a_session_turns_on(
    client: Client, function: str, arguments: list[Any]
) -> None:
    """A `SELECT INTO` fails with them if it finds more than one row."""
    client.insert("account-1", 3)
    client.execute("LOAD 'plpgsql'")
    client.execute("SET plpgsql.extra_errors = 'too_many_rows'")

    assert len(client.read(function, *arguments)) == 3
