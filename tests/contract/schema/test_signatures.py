"""Names, parameters, defaults and results, to the letter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client

SIGNATURES = {
    "category": ("stream_name character varying", "character varying"),
    "id": ("stream_name character varying", "character varying"),
    "cardinal_id": ("stream_name character varying", "character varying"),
    "is_category": ("stream_name character varying", "boolean"),
    "hash_64": ("value character varying", "bigint"),
    "message_store_version": ("", "character varying"),
    "acquire_lock": ("stream_name character varying", "bigint"),
    "stream_version": ("stream_name character varying", "bigint"),
    "write_message": (
        "id character varying, stream_name character varying, type character varying, "
        "data jsonb, metadata jsonb DEFAULT NULL::jsonb, "
        "expected_version bigint DEFAULT NULL::bigint",
        "bigint",
    ),
    "get_stream_messages": (
        'stream_name character varying, "position" bigint DEFAULT 0, '
        "batch_size bigint DEFAULT 1000, "
        "condition character varying DEFAULT NULL::character varying",
        "SETOF message_store.message",
    ),
    "get_category_messages": (
        'category character varying, "position" bigint DEFAULT 1, '
        "batch_size bigint DEFAULT 1000, "
        "correlation character varying DEFAULT NULL::character varying, "
        "consumer_group_member bigint DEFAULT NULL::bigint, "
        "consumer_group_size bigint DEFAULT NULL::bigint, "
        "condition character varying DEFAULT NULL::character varying",
        "SETOF message_store.message",
    ),
    "get_last_stream_message": (
        "stream_name character varying, type character varying DEFAULT NULL::character varying",
        "SETOF message_store.message",
    ),
    "get_messages": (
        "categories character varying[] DEFAULT NULL::character varying[], "
        '"position" bigint DEFAULT 1, batch_size bigint DEFAULT 1000, '
        "correlation character varying DEFAULT NULL::character varying, "
        "consumer_group_member bigint DEFAULT NULL::bigint, "
        "consumer_group_size bigint DEFAULT NULL::bigint, "
        "condition character varying DEFAULT NULL::character varying",
        "SETOF message_store.message",
    ),
    "settled_position": (
        "category character varying DEFAULT NULL::character varying",
        "bigint",
    ),
    "write_messages": (
        "messages jsonb, expected_versions jsonb DEFAULT NULL::jsonb, "
        "idempotent boolean DEFAULT true",
        'TABLE("position" bigint, global_position bigint)',
    ),
    "get_query_messages": (
        'query jsonb, "position" bigint DEFAULT 1, batch_size bigint DEFAULT 1000, '
        "up_to bigint DEFAULT NULL::bigint",
        "SETOF message_store.message",
    ),
    "write_conditionally": (
        "messages jsonb, conditions jsonb, expected_versions jsonb DEFAULT NULL::jsonb, "
        "idempotent boolean DEFAULT true",
        'TABLE("position" bigint, global_position bigint)',
    ),
    "unmet_condition": (
        "conditions jsonb, stream_names text[], OUT after bigint, OUT global_position bigint",
        "record",
    ),
    "prepare_copy": (
        "stream_names text[], number bigint, OUT versions bigint[], OUT global_positions bigint[]",
        "record",
    ),
    "lock_granularity": ("", "character varying"),
    "set_lock_granularity": ("granularity character varying", "void"),
}


@pytest.mark.parametrize("function", SIGNATURES)
def test_signature(client: Client, function: str) -> None:
    # More than one function of a name would make calls of it ambiguous.
    signature = client.execute(
        "SELECT pg_get_function_arguments(oid), pg_get_function_result(oid) FROM pg_proc "
        "WHERE pronamespace = 'message_store'::regnamespace AND proname = :function",
        function=function,
    ).one()

    assert signature == SIGNATURES[function]
