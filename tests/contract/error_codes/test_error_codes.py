from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from mdb_sqla.database.error_fields import diagnostics_of

if TYPE_CHECKING:
    from tests.contract.conftest import OpenClient

REFUSALS = {
    "wrong_expected_version": (
        "SELECT message_store.write_message(:id, 'account-1', 'Opened', '{}', NULL, 5)",
        "Wrong expected version: 5 (Stream: account-1, Stream Version: -1)",
    ),
    "not_a_stream": (
        "SELECT message_store.get_stream_messages('account')",
        "Must be a stream name: account",
    ),
    "not_a_category": (
        "SELECT message_store.get_category_messages('account-1')",
        "Must be a category: account-1",
    ),
    "invalid_correlation": (
        "SELECT message_store.get_category_messages('account', correlation => 'other-1')",
        "Correlation must be a category (Correlation: other-1)",
    ),
    "invalid_consumer_group": (
        "SELECT message_store.get_category_messages('account', consumer_group_member => 0)",
        "Consumer group member and size must be specified "
        "(Consumer Group Member: 0, Consumer Group Size: <NULL>)",
    ),
    "condition_not_activated": (
        "SELECT message_store.get_stream_messages('account-1', condition => 'true')",
        "Retrieval with SQL condition is not activated",
    ),
    "duplicate_message_id": (
        "SELECT message_store.write_messages(jsonb_build_array("
        "jsonb_build_object('id', :id ::text, 'stream_name', 'account-1', 'type', 'Opened'),"
        "jsonb_build_object('id', :id ::text, 'stream_name', 'account-1', 'type', 'Closed')))",
        "Message id is taken by a message with other content: "
        "2f8e2a0c-94a5-4bd1-a95c-9f6cbf3d6b6e (Stream: account-1)",
    ),
    "append_condition_failed": (
        "SELECT message_store.write_conditionally('[]', "
        """'[{"query": [{"categories": ["account"]}], "after": 9000000}]')""",
        "Append condition failed: the store has not reached the position that was read "
        "(After: 9000000)",
    ),
    "read_not_exact": (
        "SELECT message_store.get_messages()",
        "Must be read at isolation level read committed, with a snapshot newer than its writers "
        "(Isolation Level: repeatable read, Lock Granularity: stream)",
    ),
}
ID = {"id": "2f8e2a0c-94a5-4bd1-a95c-9f6cbf3d6b6e"}

VALUES = {
    "wrong_expected_version": {
        "stream_name": "account-1",
        "expected_version": 5,
        "stream_version": -1,
    },
    "not_a_stream": {"stream_name": "account"},
    "not_a_category": {"category": "account-1"},
    "invalid_correlation": {"correlation": "other-1"},
    "invalid_consumer_group": {"member": 0, "size": None},
    "condition_not_activated": {},
    "duplicate_message_id": {**ID, "stream_name": "account-1"},
    "append_condition_failed": {"global_position": None, "after": 9_000_000},
    "read_not_exact": {},
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_every_kind_is_p0001_and_named_in_a_field(open_client: OpenClient, kind: str) -> None:
    client = open_client("REPEATABLE READ" if kind == "read_not_exact" else "READ COMMITTED")
    sql, refusal = REFUSALS[kind]
    parameters: dict[str, Any] = ID if ":id" in sql else {}

    with client.refused(kind, refusal) as error:
        client.execute(sql, **parameters)

    assert json.loads(diagnostics_of(error.value).detail or "{}") == VALUES[kind]
