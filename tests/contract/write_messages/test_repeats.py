"""A message that is stored already is not written again, as long as it is the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client

ID = "2f8e2a0c-94a5-4bd1-a95c-9f6cbf3d6b6e"
OTHER_CONTENT = f"Message id is taken by a message with other content: {ID}"
UNIQUE_VIOLATION = "23505"
MESSAGE: dict[str, Any] = {
    "id": ID,
    "stream_name": "account-1",
    "type": "Deposited",
    "data": {"amount": 11, "list": [1, 2]},
    "metadata": {"schemaVersion": "1"},
}


def new(stream_name: str) -> dict[str, Any]:
    return MESSAGE | {"id": str(uuid4()), "stream_name": stream_name}


def test_whole_batch_has_the_positions_of_the_first_time(client: Client) -> None:
    batch = [new("account-1"), new("shop-1"), new("account-1")]
    first = client.write_batch(*batch)
    client.write("account-1")

    assert client.write_batch(*batch) == first
    assert client.message_count() == 4


def test_part_of_a_batch(client: Client) -> None:
    known = [new("account-1"), new("shop-1")]
    first = client.write_batch(*known)
    client.write("account-1")

    again = client.write_batch(new("account-1"), known[1], new("account-1"), known[0])

    assert [position for position, _ in again] == [2, 0, 3, 0]
    assert (again[1], again[3]) == (first[1], first[0])
    assert again[0][1] < again[2][1]
    assert client.message_count() == 5


def test_repeat_inside_one_document(client: Client) -> None:
    repeated = new("account-1")

    written = client.write_batch(repeated, new("account-1"), repeated, new("shop-1"), repeated)

    assert [position for position, _ in written] == [0, 1, 0, 0, 0]
    assert written[0] == written[2] == written[4]
    assert client.message_count() == 3


def test_repeat_inside_and_outside_of_the_document(client: Client) -> None:
    known, twice = new("account-1"), new("account-1")
    first = client.write_batch(known)

    written = client.write_batch(twice, known, twice)

    assert [position for position, _ in written] == [1, 0, 1]
    assert written[1] == first[0]
    assert client.message_count() == 2


def test_message_of_write_message_is_known(client: Client) -> None:
    client.write("account-1", id=ID, type="Opened", data='{"a": 1}')

    written = client.write_batch(
        {"id": ID.upper(), "stream_name": "account-1", "type": "Opened", "data": {"a": 1}}
    )

    assert [position for position, _ in written] == [0]
    assert client.message_count() == 1


def test_order_of_keys_does_not_matter(client: Client) -> None:
    first = client.write_batch(MESSAGE)

    assert client.write_batch(MESSAGE | {"data": {"list": [1, 2], "amount": 11}}) == first


@pytest.mark.parametrize(
    "change",
    [
        {"stream_name": "account-2"},
        {"type": "Withdrawn"},
        {"data": {"amount": 12}},
        {"data": {"amount": 11, "list": [2, 1]}},
        {"data": None},
        {"metadata": {}},
        {"metadata": None},
    ],
    ids=str,
)
@pytest.mark.parametrize("others", [[], ["account-1", "shop-1"]], ids=["alone", "with others"])
def test_other_content_is_refused(
    client: Client, change: dict[str, Any], others: list[str]
) -> None:
    client.write_batch(MESSAGE)

    with client.refused("duplicate_message_id", f"{OTHER_CONTENT} (Stream: account-1)"):
        client.write_batch(*others, MESSAGE | change, *others)

    assert client.message_count() == 1


@pytest.mark.parametrize(
    "change", [{"stream_name": "account-2"}, {"type": "Withdrawn"}, {"data": 5}, {"metadata": 5}]
)
def test_other_content_inside_one_document_is_refused(
    client: Client, change: dict[str, Any]
) -> None:
    with client.refused("duplicate_message_id", f"{OTHER_CONTENT} (Stream: account-1)"):
        client.write_batch(MESSAGE, "shop-1", MESSAGE | change)

    assert client.message_count() == 0


@pytest.mark.parametrize("column", ["data", "metadata"])
def test_null_is_not_the_null_of_json(client: Client, column: str) -> None:
    with_null = json.dumps([MESSAGE | {column: None}])
    without = json.dumps([{key: value for key, value in MESSAGE.items() if key != column}])

    for first, second in [(with_null, without), (without, with_null)]:
        with client.connection.begin_nested() as savepoint:
            client.read("write_messages", first)
            assert len(client.read("write_messages", first)) == 1
            with client.refused("duplicate_message_id", f"{OTHER_CONTENT} (Stream: account-1)"):
                client.read("write_messages", second)
            savepoint.rollback()


@pytest.mark.parametrize("expected_version", [-1, 7])
def test_versions_are_not_looked_at_when_all_are_repeats(
    client: Client, expected_version: int
) -> None:
    batch = [new("account-1"), new("account-1")]
    first = client.write_batch(*batch, expected_versions={"account-1": -1})
    client.write("account-1")
    versions = {"account-1": expected_version, "shop-1": 5}

    assert client.write_batch(*batch, expected_versions=versions) == first
    assert client.message_count() == 3


def test_versions_are_looked_at_when_one_is_new(client: Client) -> None:
    known = new("account-1")
    client.write_batch(known)

    with client.refused("wrong_expected_version"):
        client.write_batch(known, new("account-1"), expected_versions={"account-1": -1})

    assert client.message_count() == 1


def test_other_content_is_told_before_a_wrong_version(client: Client) -> None:
    client.write_batch(MESSAGE)

    with client.refused("duplicate_message_id"):
        client.write_batch(MESSAGE | {"type": "Other"}, expected_versions={"account-1": -1})


def test_right_versions_are_those_before_the_batch_without_its_repeats(client: Client) -> None:
    known = new("account-1")
    client.write_batch(known)

    written = client.write_batch(known, new("account-1"), expected_versions={"account-1": 0})

    assert [position for position, _ in written] == [0, 1]


@pytest.mark.parametrize("where", ["in the store", "in the document"])
def test_without_idempotence_a_repeat_is_a_unique_violation(client: Client, where: str) -> None:
    if where == "in the store":
        client.write_batch(MESSAGE)
    count = client.message_count()

    with client.refused(
        UNIQUE_VIOLATION, 'duplicate key value violates unique constraint "messages_id"'
    ):
        client.write_batch("account-1", MESSAGE, MESSAGE, idempotent=False)

    assert client.message_count() == count


def test_without_idempotence_versions_are_always_looked_at(client: Client) -> None:
    client.write_batch(MESSAGE)

    with client.refused("wrong_expected_version"):
        client.write_batch(MESSAGE, expected_versions={"account-1": -1}, idempotent=False)
