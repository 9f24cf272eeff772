from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client
    from tests.contract.conftest import OpenClient


def test_messages_are_written_in_the_order_of_the_document(client: Client) -> None:
    types = [f"Type {number}" for number in range(20)]

    written = client.write_batch(*({"stream_name": "account-1", "type": name} for name in types))

    assert [position for position, _ in written] == list(range(20))
    stored = client.rows(
        "SELECT type, position, global_position FROM message_store.messages ORDER BY position"
    )
    assert stored == [(name, *positions) for name, positions in zip(types, written, strict=True)]


def test_global_positions_follow_the_document_too(client: Client) -> None:
    streams = ["shop-1", "account-2", "account-1", "account-2", "account", "shop-1", "account-2"]

    written = client.write_batch(*streams)

    first = written[0][1]
    assert [global_position for _, global_position in written] == list(range(first, first + 7))


def test_every_stream_counts_for_itself(client: Client) -> None:
    client.write("account-1")
    client.insert("account-2", 3)

    written = client.write_batch("account-1", "account-2", "account-3", "account-1", "account-2")

    assert [position for position, _ in written] == [1, 3, 0, 2, 4]


def test_positions_go_on_after_the_batch(client: Client) -> None:
    client.write_batch("account-1", "account-1")

    assert client.write("account-1") == 2
    assert [position for position, _ in client.write_batch("account-1")] == [3]


def test_large_batch(client: Client) -> None:
    written = client.write_batch(*(f"account-{number % 7}" for number in range(3_000)))

    assert [position for position, _ in written] == [number // 7 for number in range(3_000)]
    assert sorted(written, key=lambda positions: positions[1]) == written


@pytest.mark.parametrize("expected_versions", [None, {}, {"account-1": 7, "account-2": -1}])
def test_empty_document_writes_nothing(
    client: Client, expected_versions: dict[str, int] | None
) -> None:
    client.insert("account-1", 8)

    assert client.write_batch(expected_versions=expected_versions) == []
    assert client.message_count() == 8


def test_batches_of_one_session_keep_their_plan(open_any_client: OpenClient) -> None:
    client = open_any_client()

    written = [client.write_batch("account-1", "account-2") for _ in range(8)]

    assert [[position for position, _ in batch] for batch in written] == [
        [number, number] for number in range(8)
    ]
