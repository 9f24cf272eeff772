from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.client import Client

CARDINAL_IDS = {
    **{f"account-{number}": str(number) for number in range(1, 25)},
    "account-1+2": "1",
    "account-7+1": "7",
    "account-a-b+c": "a-b",
    "account-größe": "größe",
    "account-2f8e2a0c-94a5-4bd1-a95c-9f6cbf3d6b6e": "2f8e2a0c-94a5-4bd1-a95c-9f6cbf3d6b6e",
    "account-": "",
    "account-+5": "",
}


@pytest.fixture
def streams(client: Client) -> list[str]:
    """One message in each of these streams, and in one without an id."""
    streams = [*CARDINAL_IDS, "account"]
    for stream_name in streams:
        client.write(stream_name)
    return streams


def read(client: Client, member: int, size: int) -> list[str]:
    messages = client.read(
        "get_category_messages", "account", consumer_group_member=member, consumer_group_size=size
    )
    return [message.stream_name for message in messages]


@pytest.mark.usefixtures("streams")
@pytest.mark.parametrize("size", [1, 2, 3, 10])
def test_member_reads_streams_by_the_hash_of_their_cardinal_id(
    client: Client, expected_hash: Callable[[str], int], size: int
) -> None:
    hashes = {name: expected_hash(cardinal_id) for name, cardinal_id in CARDINAL_IDS.items()}
    assert min(hashes.values()) < 0 < max(hashes.values())

    for member in range(size):
        own = [name for name, hash_64 in hashes.items() if abs(hash_64) % size == member]
        assert [name for name in read(client, member, size) if name != "account"] == own


@pytest.mark.parametrize("size", [1, 2, 3, 10, 64])
def test_members_read_every_stream_and_none_of_them_twice(
    client: Client, streams: list[str], size: int
) -> None:
    read_by_members = [name for member in range(size) for name in read(client, member, size)]

    assert sorted(read_by_members) == sorted(streams)


@pytest.mark.parametrize("size", [1, 2, 5, 17])
@pytest.mark.parametrize("category", ["account", "shop", "größe:command"])
def test_stream_without_an_id_belongs_to_exactly_one_member(
    client: Client, category: str, size: int
) -> None:
    client.write(category)
    client.write(category)

    messages = [
        client.read("get_category_messages", category, 1, 1000, None, member, size)
        for member in range(size)
    ]

    assert sorted(len(batch) for batch in messages) == [0] * (size - 1) + [2]


def test_streams_with_one_cardinal_id_have_one_member(client: Client) -> None:
    streams = ["account-8+1", "account-8+2", "account-8"]
    for stream_name in streams:
        client.write(stream_name)

    members = [read(client, member, 16) for member in range(16)]

    assert [own for own in members if own] == [streams]


# 2 has a positive hash, 1 a negative one; the original fails beyond a smallint.
@pytest.mark.parametrize("id_", ["1", "2"])
@pytest.mark.parametrize("size", [2**15, 2**31, 2**40, 2**63 - 1])
def test_group_may_be_as_large_as_a_bigint(
    client: Client, expected_hash: Callable[[str], int], id_: str, size: int
) -> None:
    client.write(f"account-{id_}")
    member = abs(expected_hash(id_)) % size

    assert read(client, member, size) == [f"account-{id_}"]
    assert read(client, (member + 1) % size, size) == []


@pytest.mark.usefixtures("streams")
def test_batch_size_counts_what_the_member_reads(client: Client) -> None:
    messages = client.read("get_category_messages", "account", 1, 3, None, 1, 2)

    assert [message.stream_name for message in messages] == read(client, 1, 2)[:3]


def test_null_member_and_size_are_no_group(client: Client, streams: list[str]) -> None:
    messages = client.read(
        "get_category_messages", "account", consumer_group_member=None, consumer_group_size=None
    )

    assert [message.stream_name for message in messages] == streams
