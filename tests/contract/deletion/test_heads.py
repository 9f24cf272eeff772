"""Streams whose messages are deleted continue after them, through every function."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client

POSITIONS = "SELECT position FROM message_store.messages WHERE stream_name = :name ORDER BY 1"
HEADS = "SELECT stream_name, version FROM message_store.stream_heads ORDER BY 1"


def delete(client: Client, where: str = "true", keep_versions: bool = True) -> int:
    found = client.rows(
        f"SELECT global_position FROM message_store.messages WHERE {where} ORDER BY 1"
    )
    positions = [position for (position,) in found]
    number: int = client.call("delete_messages", positions, keep_versions)
    return number


@pytest.fixture
def emptied(client: Client) -> Client:
    """A client of a store with `account-1`, whose three messages are deleted."""
    client.insert("account-1", 3)
    assert delete(client) == 3
    return client


def test_the_next_position(emptied: Client) -> None:
    assert emptied.write("account-1") == 3
    assert emptied.write("account-1") == 4
    assert emptied.write("account-2") == 0


def test_a_batch(emptied: Client) -> None:
    written = emptied.write_batch("account-1", "account-2", "account-1")
    assert [position for position, _ in written] == [3, 0, 4]


def test_positions_for_copy(emptied: Client) -> None:
    (prepared,) = emptied.read("prepare_copy", ["account-2", "account-1"], 2)
    assert prepared.versions == [-1, 2]


def test_the_version(emptied: Client) -> None:
    assert emptied.call("stream_version", "account-1") == 2
    assert emptied.call("stream_version", "account-2") is None
    emptied.write("account-1")
    assert emptied.call("stream_version", "account-1") == 3


@pytest.mark.parametrize("expected_version", [-1, 0, 3])
def test_another_version_is_refused(emptied: Client, expected_version: int) -> None:
    text = f"Wrong expected version: {expected_version} (Stream: account-1, Stream Version: 2)"
    with emptied.refused("wrong_expected_version", text):
        emptied.write("account-1", expected_version=expected_version)
    with emptied.refused("wrong_expected_version", text):
        emptied.write_batch("account-1", "x-1", expected_versions={"account-1": expected_version})
    with emptied.refused("wrong_expected_version", text):
        emptied.write_batch("x-1", expected_versions={"account-1": expected_version})


def test_its_version_is_accepted(emptied: Client) -> None:
    assert emptied.write("account-1", expected_version=2) == 3
    written = emptied.write_batch("account-1", "x-1", expected_versions={"account-1": 3})
    assert [position for position, _ in written] == [4, 0]


def test_reads_find_nothing(emptied: Client) -> None:
    assert emptied.read("get_stream_messages", "account-1") == []
    assert emptied.read("get_category_messages", "account") == []
    assert emptied.read("get_last_stream_message", "account-1") == []


def test_the_first_messages_only(client: Client) -> None:
    client.insert("account-1", 3)
    assert delete(client, "position < 2") == 2
    assert client.rows(HEADS) == [("account-1", 1)]
    assert client.call("stream_version", "account-1") == 2
    assert client.write("account-1", expected_version=2) == 3
    assert delete(client) == 2
    assert client.rows(HEADS) == [("account-1", 3)]


def test_a_message_after_others_is_refused(client: Client) -> None:
    client.insert("account-1", 3)
    with client.refused(
        "22023", "Messages of a stream must be deleted from its beginning (Stream: account-1)"
    ):
        delete(client, "position = 1")
    assert client.rows(POSITIONS, name="account-1") == [(0,), (1,), (2,)]


def test_versions_are_forgotten_if_asked(client: Client) -> None:
    client.insert("account-1", 3)
    client.insert("account-2", 2)
    delete(client, "position < 1")
    assert delete(client, "stream_name = 'account-1'", keep_versions=False) == 2
    assert client.rows(HEADS) == [("account-2", 0)]
    assert client.call("stream_version", "account-1") is None
    assert client.write("account-1", expected_version=-1) == 0


def test_what_is_left_keeps_its_head(client: Client) -> None:
    client.insert("account-1", 3)
    delete(client, "position < 2", keep_versions=False)
    assert client.rows(HEADS) == [("account-1", 1)]


def test_nothing_to_delete(client: Client) -> None:
    assert client.call("delete_messages", [4711]) == 0
    assert client.call("delete_messages", []) == 0
    assert client.rows(HEADS) == []
