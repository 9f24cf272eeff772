from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.contract.client import Client

ID = "2f8e2a0c-94a5-4bd1-a95c-9f6cbf3d6b6e"


def test_columns(client: Client) -> None:
    client.write(
        "account-1", id=ID.upper(), type="Deposited", data='{"b":1,  "a":"ä"}', metadata=None
    )

    (message,) = client.read("get_category_messages", "account")

    stored = client.execute("SELECT global_position, time FROM message_store.messages").one()
    assert message == (
        ID,
        "account-1",
        "Deposited",
        0,
        stored.global_position,
        '{"a": "ä", "b": 1}',
        None,
        stored.time,
    )
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


def test_messages_are_of_this_very_category(client: Client) -> None:
    own = ["account-1", "account", "account-", "account-2+3", "account-a-b"]
    others = ["account:command-1", "account:command", "accounts-1", "accoun-1", "Account-1", "-1"]
    for stream_name in own + others:
        client.write(stream_name)

    messages = client.read("get_category_messages", category="account")

    assert [message.stream_name for message in messages] == own


def test_types_belong_to_the_category(client: Client) -> None:
    for stream_name in ("account-1", "account:command-1", "account:command+position-1"):
        client.write(stream_name)

    messages = client.read("get_category_messages", "account:command")

    assert [message.stream_name for message in messages] == ["account:command-1"]


def test_messages_come_in_the_order_of_their_global_positions(client: Client) -> None:
    # Under `stream`, positions that the sequence has not drawn are not read.
    client.call("set_lock_granularity", "category")
    # Not in the order in which they are stored, which is the one of a scan of the table.
    client.set_local("enable_indexscan", "off")
    client.set_local("enable_bitmapscan", "off")
    client.execute(
        "INSERT INTO message_store.messages (global_position, stream_name, position, type) "
        "SELECT 1000000 + (number * 7) % 50, 'account-' || number, 0, 'Opened' "
        "FROM generate_series(0, 49) AS number"
    )

    messages = client.read("get_category_messages", "account")

    global_positions = [message.global_position for message in messages]
    assert global_positions == list(range(1000000, 1000050))


def test_category_without_messages_has_no_rows(client: Client) -> None:
    client.write("account-1")

    assert client.read("get_category_messages", "shop") == []
