"""Who takes the lock by itself may insert by itself: readers wait for it as for any writer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.conftest import OpenClient

INSERT = (
    "INSERT INTO message_store.messages (stream_name, position, type) VALUES ('account-1', 0, 'A')"
)


def test_lock_comes_with_a_floor(open_any_client: OpenClient) -> None:
    client = open_any_client()
    before = client.call("last_global_position")

    client.call("acquire_lock", "account-1")
    client.call("acquire_lock", "shop-1")

    assert client.floors() == [before]


@pytest.mark.parametrize("categories", [None, ["account"]])
def test_readers_wait_for_what_the_client_inserts(
    open_any_client: OpenClient, categories: list[str] | None
) -> None:
    client, other, reader = open_any_client(), open_any_client("AUTOCOMMIT"), open_any_client()
    client.call("acquire_lock", "account-1")
    client.execute(INSERT)
    other.write("shop-1")
    assert reader.read("get_messages", categories) == []

    client.connection.commit()

    messages = reader.read("get_messages", categories)
    assert [message.stream_name for message in messages] == ["account-1", "shop-1"][
        : 2 if categories is None else 1
    ]


def test_write_after_it_keeps_the_floor(open_any_client: OpenClient) -> None:
    client, other = open_any_client(), open_any_client("AUTOCOMMIT")
    client.call("acquire_lock", "account-1")
    floors = client.floors()
    other.write("shop-1")

    client.write("account-1")

    assert client.floors() == floors
