from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client


@pytest.fixture
def account(client: Client) -> None:
    for type_ in ("Opened", "Deposited", "Deposited", "Withdrawn"):
        client.write("account-1", type=type_)
    for type_ in ("Opened", "Closed", "Opened", "Opened", "Opened", "Opened"):
        client.write("account-10", type=type_)


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    ("arguments", "position"),
    [
        ({}, 3),
        ({"type": None}, 3),
        ({"type": "Withdrawn"}, 3),
        ({"type": "Deposited"}, 2),
        ({"type": "Opened"}, 0),
    ],
)
def test_last_message(client: Client, arguments: dict[str, Any], position: int) -> None:
    (message,) = client.read("get_last_stream_message", stream_name="account-1", **arguments)

    assert (message.stream_name, message.position) == ("account-1", position)
    assert message.type == (arguments.get("type") or "Withdrawn")


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    ("stream_name", "type_"),
    [
        ("account-2", None),
        ("account-2", "Opened"),
        ("account-1", "Closed"),
        ("account-1", ""),
        ("account-1", "opened"),
        ("account", None),
        (None, None),
    ],
)
def test_no_row_where_there_is_none(
    client: Client, stream_name: str | None, type_: str | None
) -> None:
    assert client.read("get_last_stream_message", stream_name, type_) == []


def test_last_is_the_highest_position(client: Client) -> None:
    # Not the one that was stored last.
    client.execute(
        "INSERT INTO message_store.messages (stream_name, position, type) "
        "VALUES ('account-1', 1, 'Closed'), ('account-1', 2, 'Closed'), ('account-1', 0, 'Closed')"
    )

    for arguments in ({}, {"type": "Closed"}):
        (message,) = client.read("get_last_stream_message", "account-1", **arguments)
        assert message.position == 2


@pytest.mark.usefixtures("account")
def test_message_is_the_one_of_get_stream_messages(client: Client) -> None:
    client.write("account-1", data='{"b":1,  "a":"ä"}', metadata='{"schemaVersion":"1"}')
    (expected,) = client.read("get_stream_messages", "account-1", 4)

    (message,) = client.read("get_last_stream_message", "account-1")

    assert message._asdict() == expected._asdict()
    assert message._fields == expected._fields
