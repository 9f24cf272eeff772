from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

if TYPE_CHECKING:
    from sqlalchemy import Row

    from tests.contract.client import Client

ID = "2f8e2a0c-94a5-4bd1-a95c-9f6cbf3d6b6e"


def stored(client: Client) -> Row[Any]:
    return client.execute("SELECT * FROM message_store.messages").one()


def test_arguments_by_place(client: Client) -> None:
    client.call(
        "write_message", ID, "account-1", "Deposited", '{"amount": 11}', '{"schema": "1"}', -1
    )

    message = stored(client)

    assert message.id == UUID(ID)
    assert message.stream_name == "account-1"
    assert message.type == "Deposited"
    assert message.position == 0
    assert message.data == {"amount": 11}
    assert message.metadata == {"schema": "1"}


def test_arguments_by_name(client: Client) -> None:
    client.call(
        "write_message",
        expected_version=None,
        metadata=None,
        data='{"größe": [1, null, "口座"]}',
        type="Größe geändert",
        stream_name="größe-1",
        id=ID.upper(),
    )

    message = stored(client)

    assert message.id == UUID(ID)
    assert message.stream_name == "größe-1"
    assert message.type == "Größe geändert"
    assert message.data == {"größe": [1, None, "口座"]}


def test_metadata_and_expected_version_may_be_left_out(client: Client) -> None:
    client.call("write_message", ID, "account-1", "Opened", "{}")

    assert stored(client).metadata is None


@pytest.mark.parametrize("column", ["data", "metadata"])
@pytest.mark.parametrize(("value", "is_null"), [(None, True), ("null", False), ("{}", False)])
def test_null_is_not_the_null_of_json(
    client: Client, column: str, value: str | None, is_null: bool
) -> None:
    client.write("account-1", **{column: value})

    assert client.value(f"SELECT {column} IS NULL FROM message_store.messages") is is_null


@pytest.mark.parametrize("time_zone", ["UTC", "Asia/Tokyo"])
def test_time_is_the_start_of_the_transaction_in_utc(client: Client, time_zone: str) -> None:
    client.set_local("TimeZone", time_zone)
    client.write("account-1")
    client.execute("SELECT pg_sleep(0.002)")
    client.write("account-1")

    ((time, start),) = client.rows(
        "SELECT DISTINCT time, now() AT TIME ZONE 'utc' FROM message_store.messages"
    )

    assert time == start


def test_messages_of_one_transaction_follow_each_other_in_the_store(client: Client) -> None:
    for stream_name in ("account-2", "account-1", "shop-1", "account-1"):
        client.write(stream_name)

    messages = client.rows(
        "SELECT stream_name, position FROM message_store.messages ORDER BY global_position"
    )

    assert messages == [("account-2", 0), ("account-1", 0), ("shop-1", 0), ("account-1", 1)]
