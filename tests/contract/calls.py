"""A call of every function and report, and its answer."""

from __future__ import annotations

from typing import Any

from tests.contract.client import hash_64

# On a store with one message in the stream account-1.
CALLS: dict[str, tuple[str, Any]] = {
    "category": ("SELECT {schema}.category('account-1+2')", "account"),
    "id": ("SELECT {schema}.id('account-1+2')", "1+2"),
    "cardinal_id": ("SELECT {schema}.cardinal_id('account-1+2')", "1"),
    "is_category": ("SELECT {schema}.is_category('account-1+2')", False),
    "hash_64": ("SELECT {schema}.hash_64('account')", hash_64("account")),
    "message_store_version": ("SELECT {schema}.message_store_version()", "1.3.0"),
    "acquire_lock": ("SELECT {schema}.acquire_lock('account-1')", hash_64("account")),
    "write_message": (
        "SELECT {schema}.write_message("
        "gen_random_uuid()::varchar, 'account-1', 'Opened', '{}', '{}', 0)",
        1,
    ),
    "stream_version": ("SELECT {schema}.stream_version('account-1')", 0),
    "get_stream_messages": (
        "SELECT stream_name FROM {schema}.get_stream_messages('account-1')",
        "account-1",
    ),
    "get_stream_messages with a condition": (
        "SELECT stream_name "
        "FROM {schema}.get_stream_messages('account-1', condition => 'position = 0')",
        "account-1",
    ),
    "get_category_messages": (
        "SELECT stream_name FROM {schema}.get_category_messages('account')",
        "account-1",
    ),
    "get_category_messages with everything": (
        "SELECT stream_name FROM {schema}.get_category_messages("
        "'account', 1, 1000, 'shop', 0, 1, condition => 'position = 0')",
        "account-1",
    ),
    "get_last_stream_message": (
        "SELECT stream_name FROM {schema}.get_last_stream_message('account-1', 'Opened')",
        "account-1",
    ),
    "get_messages": ("SELECT stream_name FROM {schema}.get_messages()", "account-1"),
    "get_messages with everything": (
        "SELECT stream_name FROM {schema}.get_messages("
        "ARRAY['account', 'shop'], 1, 1000, 'shop', 0, 1, condition => 'position = 0')",
        "account-1",
    ),
    "settled_position": ("SELECT {schema}.settled_position('account') > 0", True),
    "write_messages": (
        "SELECT position FROM {schema}.write_messages(jsonb_build_array(jsonb_build_object("
        "'id', gen_random_uuid(), 'stream_name', 'account-1', 'type', 'Opened')),"
        "jsonb_build_object('account-1', 0), false)",
        1,
    ),
    "write_messages again": (
        "SELECT position FROM {schema}.write_messages((SELECT jsonb_agg("
        "to_jsonb(m) - 'time' - 'position' - 'global_position') FROM {schema}.messages AS m))",
        0,
    ),
    "get_query_messages": (
        "SELECT stream_name FROM {schema}.get_query_messages("
        """'[{"categories": ["account"], "types": ["Opened"]}]')""",
        "account-1",
    ),
    "write_conditionally": (
        "SELECT position FROM {schema}.write_conditionally(jsonb_build_array(jsonb_build_object("
        "'id', gen_random_uuid(), 'stream_name', 'account-1', 'type', 'Opened')),"
        """'[{"query": [{"categories": ["shop"]}], "after": 0}]')""",
        1,
    ),
    "unmet_condition": (
        "SELECT global_position > 0 FROM {schema}.unmet_condition("
        """'[{"query": [{"categories": ["account"]}], "after": 0}]', ARRAY['account-1'])""",
        True,
    ),
    "prepare_copy": ("SELECT versions FROM {schema}.prepare_copy(ARRAY['account-1'], 2)", [0]),
    "lock_granularity": ("SELECT {schema}.lock_granularity()", "stream"),
    "messages": ("SELECT stream_name FROM {schema}.messages", "account-1"),
    "stream_summary": ("SELECT stream_name FROM {schema}.stream_summary", "account-1"),
    "type_summary": ("SELECT type FROM {schema}.type_summary", "Opened"),
    "stream_type_summary": ("SELECT type FROM {schema}.stream_type_summary", "Opened"),
    "type_stream_summary": ("SELECT type FROM {schema}.type_stream_summary", "Opened"),
    "category_type_summary": ("SELECT category FROM {schema}.category_type_summary", "account"),
    "type_category_summary": ("SELECT category FROM {schema}.type_category_summary", "account"),
}
