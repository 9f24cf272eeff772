from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.contract.conftest import Client, OpenClient

REFUSALS = {
    "MS001": (
        "SELECT message_store.write_message(:id, 'account-1', 'Opened', '{}', NULL, 5)",
        "Wrong expected version: 5 (Stream: account-1, Stream Version: -1)",
    ),
    "MS002": (
        "SELECT message_store.get_stream_messages('account')",
        "Must be a stream name: account",
    ),
    "MS003": (
        "SELECT message_store.get_category_messages('account-1')",
        "Must be a category: account-1",
    ),
    "MS004": (
        "SELECT message_store.get_category_messages('account', correlation => 'other-1')",
        "Correlation must be a category (Correlation: other-1)",
    ),
    "MS005": (
        "SELECT message_store.get_category_messages('account', consumer_group_member => 0)",
        "Consumer group member and size must be specified "
        "(Consumer Group Member: 0, Consumer Group Size: <NULL>)",
    ),
    "MS006": (
        "SELECT message_store.get_stream_messages('account-1', condition => 'true')",
        "Retrieval with SQL condition is not activated",
    ),
    "MS007": (
        "SELECT message_store.write_messages(jsonb_build_array("
        "jsonb_build_object('id', :id ::text, 'stream_name', 'account-1', 'type', 'Opened'),"
        "jsonb_build_object('id', :id ::text, 'stream_name', 'account-1', 'type', 'Closed')))",
        "Message id is taken by a message with other content: "
        "2f8e2a0c-94a5-4bd1-a95c-9f6cbf3d6b6e (Stream: account-1)",
    ),
    "MS008": (
        "SELECT message_store.get_messages()",
        "Must be read at isolation level read committed, with a snapshot newer than its writers "
        "(Isolation Level: repeatable read, Lock Granularity: category)",
    ),
}
ID = {"id": "2f8e2a0c-94a5-4bd1-a95c-9f6cbf3d6b6e"}

pytestmark = pytest.mark.parametrize("sqlstate", REFUSALS)


@pytest.fixture
def client(open_client: OpenClient, sqlstate: str) -> Client:
    return open_client("REPEATABLE READ" if sqlstate == "MS008" else "READ COMMITTED")


def refused(client: Client, sqlstate: str, kind: str) -> None:
    sql, refusal = REFUSALS[kind]
    parameters: dict[str, Any] = ID if ":id" in sql else {}
    with client.refused(sqlstate, refusal):
        client.execute(sql, **parameters)


def test_every_kind_of_refusal_has_a_sqlstate(client: Client, sqlstate: str) -> None:
    refused(client, sqlstate, kind=sqlstate)


def test_sqlstate_is_that_of_the_original_where_it_is_asked_for(
    client: Client, sqlstate: str
) -> None:
    # The session has used the functions before, and remembers how.
    refused(client, sqlstate, kind=sqlstate)
    client.call("use_error_codes", False)

    refused(client, "P0001", kind=sqlstate)


def test_sqlstates_come_back(client: Client, sqlstate: str) -> None:
    client.call("use_error_codes", False)
    refused(client, "P0001", kind=sqlstate)
    client.call("use_error_codes", True)

    refused(client, sqlstate, kind=sqlstate)
