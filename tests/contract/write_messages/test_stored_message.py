from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client

ID = "2f8e2a0c-94a5-4bd1-a95c-9f6cbf3d6b6e"


def test_message_is_stored_as_it_is_in_the_document(client: Client) -> None:
    client.write_batch(
        {
            "id": ID.upper(),
            "stream_name": "größe-1",
            "type": "Größe geändert",
            "data": {"größe": [1, None, "口座"], "deep": {"a": "b'c%:x"}},
            "metadata": {"correlationStreamName": "shop-1"},
        }
    )

    message = client.execute("SELECT * FROM message_store.messages").one()

    assert message.id == UUID(ID)
    assert message.stream_name == "größe-1"
    assert message.type == "Größe geändert"
    assert message.data == {"größe": [1, None, "口座"], "deep": {"a": "b'c%:x"}}
    assert message.metadata == {"correlationStreamName": "shop-1"}


@pytest.mark.parametrize("column", ["data", "metadata"])
def test_what_is_left_out_is_null_and_the_null_of_json_stays_one(
    client: Client, column: str
) -> None:
    document = f"""[
        {{"id": "{ID}", "stream_name": "account-1", "type": "Opened"}},
        {{"id": "{ID[:-1]}f", "stream_name": "account-1", "type": "Opened", "{column}": null}}
    ]"""

    client.read("write_messages", document)

    assert client.rows(
        f"SELECT {column} IS NULL, {column}::text FROM message_store.messages ORDER BY position"
    ) == [(True, None), (False, "null")]


def test_time_is_the_start_of_the_transaction_in_utc(client: Client) -> None:
    client.set_local("TimeZone", "Asia/Tokyo")
    client.write_batch("account-1", "account-2")

    ((time, start),) = client.rows(
        "SELECT DISTINCT time, now() AT TIME ZONE 'utc' FROM message_store.messages"
    )

    assert time == start


def test_what_else_is_in_the_document_is_ignored(client: Client) -> None:
    ((position, global_position),) = client.write_batch(
        {"stream_name": "account-1", "position": 7, "global_position": 7, "time": "2001-01-01"}
    )

    assert position == 0
    assert client.rows(
        "SELECT position, global_position, extract(year FROM time) > 2001 "
        "FROM message_store.messages"
    ) == [(0, global_position, True)]
