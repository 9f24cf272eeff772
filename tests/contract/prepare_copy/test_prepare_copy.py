"""What comes before a COPY: locks, versions and global positions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client
    from tests.contract.conftest import Blocked, OpenClient

LOCK_NOT_AVAILABLE = "55P03"


def prepare(client: Client, stream_names: list[str], number: int) -> tuple[list[int], list[int]]:
    """The versions of the streams, and global positions."""
    (row,) = client.read("prepare_copy", stream_names, number)
    return row.versions, row.global_positions


def test_versions_of_the_streams_in_their_order(client: Client) -> None:
    client.insert("account-2", 3)
    client.insert("shop-1", 1)

    prepared = prepare(client, ["shop-1", "account-1", "account-2"], 0)

    assert prepared == ([0, -1, 2], [])


@pytest.mark.parametrize("number", [0, 1, 1_000])
def test_global_positions_are_new_and_in_order(client: Client, number: int) -> None:
    client.write("account-1")
    last = client.call("last_global_position")

    _, global_positions = prepare(client, ["account-1"], number)

    assert global_positions == list(range(last + 1, last + 1 + number))
    assert client.call("last_global_position") == last + number


def test_copied_messages_are_the_streams_next(client: Client) -> None:
    client.write("account-1")
    (version,), (global_position,) = prepare(client, ["account-1"], 1)
    client.execute(
        "INSERT INTO message_store.messages (global_position, stream_name, position, type) "
        "VALUES (:global_position, 'account-1', :position, 'Copied')",
        global_position=global_position,
        position=version + 1,
    )

    assert client.write("account-1") == 2
    assert len(client.read("get_category_messages", "account")) == 3


@pytest.mark.parametrize("name", ["account-1", "shop-1"])
def test_streams_are_locked(open_any_client: OpenClient, name: str) -> None:
    client, other = open_any_client(), open_any_client()
    other.set_local("lock_timeout", "20ms")
    prepare(client, ["account-1", "shop-1"], 1)

    with other.refused(LOCK_NOT_AVAILABLE):
        other.write(name)


def test_it_waits_for_a_writer_and_sees_its_message(
    open_any_client: OpenClient, blocked: Blocked
) -> None:
    writer, client = open_any_client(), open_any_client()
    writer.write("account-1")

    waiting = blocked(client, lambda: prepare(client, ["account-1"], 0))
    writer.connection.commit()

    assert waiting.result() == ([0], [])


def test_floor_is_below_the_global_positions(open_any_client: OpenClient) -> None:
    client, other, reader = open_any_client(), open_any_client(), open_any_client()
    _, (first, *_) = prepare(client, ["account-1"], 3)
    other.write("shop-1")
    other.connection.commit()

    assert client.floors() == [first - 1]
    assert reader.read("get_messages") == []


def test_many_streams_of_a_category_lock_the_category(open_stream_client: OpenClient) -> None:
    client = open_stream_client()

    prepare(client, [f"account-{number}" for number in range(101)], 0)

    assert client.category_lock("account") == "ExclusiveLock"
