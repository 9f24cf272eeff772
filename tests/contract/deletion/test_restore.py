"""Deleted messages are put back from lines, as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract.deletion.test_heads import HEADS, delete

if TYPE_CHECKING:
    from tests.contract.client import Client

ROWS = "SELECT m::text FROM message_store.messages AS m ORDER BY global_position"
LINES = """
  SELECT coalesce(string_agg(jsonb_strip_nulls(jsonb_build_object(
    'id', id, 'stream_name', stream_name, 'type', type, 'position', position,
    'global_position', global_position, 'time', time || 'Z', 'data', data
  ))::text, E'\\n' ORDER BY global_position), '')
  FROM message_store.messages
"""


def mark(client: Client) -> None:
    client.execute(
        "INSERT INTO message_store.deleted_positions "
        "VALUES ('account', (SELECT max(global_position) FROM message_store.messages))"
    )


@pytest.mark.parametrize("where", ["true", "position < 2", "stream_name = 'account-1'"])
def test_deleted_messages(client: Client, where: str) -> None:
    client.insert("account-1", 3)
    client.insert("account-2", 3)
    rows, lines = client.rows(ROWS), client.value(LINES)
    mark(client)
    number = delete(client, where)
    assert client.call("restore_messages", "account", lines) == number
    client.call("finish_restore", "account")
    assert client.rows(ROWS) == rows
    assert client.rows(HEADS) == []
    assert client.rows("SELECT * FROM message_store.deleted_positions") == []
    assert client.call("restore_messages", "account", lines) == 0
    assert client.write("account-1", expected_version=2) == 3


def test_another_category_is_refused(client: Client) -> None:
    client.insert("account-1", 1)
    lines = client.value(LINES)
    mark(client)
    delete(client)
    with client.refused("restore_refused"):
        client.call("restore_messages", "order", lines)
