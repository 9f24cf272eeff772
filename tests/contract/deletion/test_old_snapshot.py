"""A snapshot that is older than a deletion must not assign a position again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client
    from tests.contract.conftest import OpenClient

SERIALIZATION_FAILURE = "40001"

pytestmark = pytest.mark.parametrize("isolation_level", ["REPEATABLE READ", "SERIALIZABLE"])


@pytest.fixture
def current(open_committing_client: OpenClient) -> Client:
    return open_committing_client()


@pytest.fixture
def late(open_committing_client: OpenClient, isolation_level: str) -> Client:
    return open_committing_client(isolation_level)


def delete_all(client: Client) -> None:
    client.execute(
        "SELECT message_store.delete_messages(array_agg(global_position)) "
        "FROM message_store.messages"
    )
    client.connection.commit()


@pytest.mark.parametrize("seen", [0, 2])
@pytest.mark.parametrize("left", [0, 1])
@pytest.mark.parametrize("emptied", [False, True])
@pytest.mark.parametrize("way", ["write", "batch", "expected", "refused"])
def test_written_and_deleted_since(
    current: Client, late: Client, seen: int, left: int, emptied: bool, way: str
) -> None:
    if emptied:
        # The head is there already, as a row that the snapshot sees.
        current.insert("account-1", 1)
        delete_all(current)
    for _ in range(seen):
        current.write("account-1")
    current.connection.commit()
    version = late.call("stream_version", "account-1")
    version = -1 if version is None else version
    for _ in range(3):
        current.write("account-1")
    current.execute(
        "SELECT message_store.delete_messages(array_agg(global_position)) FROM ("
        "  SELECT global_position FROM message_store.messages ORDER BY 1 LIMIT :number"
        ") AS first",
        number=seen + 3 - left,
    )
    current.connection.commit()

    with late.refused(SERIALIZATION_FAILURE):
        if way == "write":
            late.write("account-1")
        elif way == "batch":
            late.write_batch("account-1", "account-2")
        elif way == "expected":
            late.write_batch("account-2", expected_versions={"account-1": version})
        else:
            late.write("account-1", expected_version=99)


def test_other_streams_are_written(current: Client, late: Client) -> None:
    current.insert("account-1", 1)
    current.connection.commit()
    assert late.message_count() == 1
    delete_all(current)
    assert late.write("account-2") == 0
    assert [position for position, _ in late.write_batch("account-2", "account-3")] == [1, 0]
    late.connection.commit()
    assert current.rows("SELECT stream_name, version FROM message_store.stream_heads") == [
        ("account-1", 0)
    ]


def test_a_deletion_that_the_snapshot_sees(current: Client, late: Client) -> None:
    current.insert("account-1", 2)
    delete_all(current)
    assert late.write("account-1", expected_version=1) == 2
    assert late.write_batch("account-1", expected_versions={"account-1": 2})[0][0] == 3


def test_deleting_is_refused(late: Client) -> None:
    with late.refused("25000"):
        late.call("delete_messages", [1])
