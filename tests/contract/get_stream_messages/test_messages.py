from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client
    from tests.contract.conftest import OpenClient

ID = "2f8e2a0c-94a5-4bd1-a95c-9f6cbf3d6b6e"


def test_columns(client: Client) -> None:
    client.write(
        "account-1",
        id=ID.upper(),
        type="Deposited",
        data='{"b":1,  "a":"ä"}',
        metadata='{"schemaVersion":"1"}',
    )

    (message,) = client.read("get_stream_messages", "account-1")

    stored = client.execute("SELECT global_position, time FROM message_store.messages").one()
    assert isinstance(stored.time, datetime)
    assert message._asdict() == {
        "id": ID,
        "stream_name": "account-1",
        "type": "Deposited",
        "position": 0,
        "global_position": stored.global_position,
        # Text of JSON, as jsonb prints it.
        "data": '{"a": "ä", "b": 1}',
        "metadata": '{"schemaVersion": "1"}',
        "time": stored.time,
    }
    assert list(message._fields) == [
        "id",
        "stream_name",
        "type",
        "position",
        "global_position",
        "data",
        "metadata",
        "time",
    ]


@pytest.mark.parametrize("column", ["data", "metadata"])
@pytest.mark.parametrize(("value", "text"), [(None, None), ("null", "null"), ("[]", "[]")])
def test_missing_json_is_null_and_json_null_is_text(
    client: Client, column: str, value: str | None, text: str | None
) -> None:
    client.write("account-1", **{column: value})

    (message,) = client.read("get_stream_messages", "account-1")

    assert getattr(message, column) == text


def test_messages_are_of_this_very_stream(client: Client) -> None:
    for stream_name in ("account-1", "account-10", "account", "account:command-1", "Account-1"):
        client.write(stream_name)

    messages = client.read("get_stream_messages", stream_name="account-1")

    assert [message.stream_name for message in messages] == ["account-1"]


@pytest.mark.parametrize("condition", [None, "true"])
def test_messages_come_in_the_order_of_their_positions(
    open_client: OpenClient, condition: str | None
) -> None:
    # Not in the order in which they are stored, which is the one of a scan of the table.
    client = open_client()
    client.set_local("message_store.sql_condition", "on")
    client.set_local("enable_indexscan", "off")
    client.set_local("enable_bitmapscan", "off")
    client.execute(
        "INSERT INTO message_store.messages (stream_name, position, type) "
        "SELECT 'account-1', (position * 7) % 50, 'Opened' "
        "FROM generate_series(0, 49) AS position"
    )

    messages = client.read("get_stream_messages", "account-1", condition=condition)

    assert [message.position for message in messages] == list(range(50))


def test_stream_without_messages_has_no_rows(client: Client) -> None:
    client.write("account-1")

    assert client.read("get_stream_messages", "account-2") == []
