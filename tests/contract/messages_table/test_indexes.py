from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client

INDEXES = {
    "messages_pkey": "CREATE UNIQUE INDEX messages_pkey ON message_store.messages "
    "USING btree (global_position)",
    "messages_id": "CREATE UNIQUE INDEX messages_id ON message_store.messages USING btree (id)",
    "messages_stream": "CREATE UNIQUE INDEX messages_stream ON message_store.messages "
    'USING btree (stream_name, "position")',
    "messages_category": "CREATE INDEX messages_category ON message_store.messages "
    "USING btree (message_store.category((stream_name)::character varying), global_position, "
    "message_store.category(((metadata ->> 'correlationStreamName'::text))::character varying))",
    "messages_tags": "CREATE INDEX messages_tags ON message_store.messages "
    "USING gin (((metadata -> 'tags'::text)) jsonb_path_ops) WITH (fastupdate=off) "
    "WHERE (metadata ? 'tags'::text)",
}


def test_indexes(client: Client) -> None:
    indexes = client.rows(
        "SELECT indexname, indexdef FROM pg_indexes "
        "WHERE schemaname = 'message_store' AND tablename = 'messages'"
    )

    assert sorted(indexes) == sorted(INDEXES.items())


def test_global_position_is_the_primary_key(client: Client) -> None:
    key = client.value(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE conrelid = 'message_store.messages'::regclass AND contype = 'p'"
    )

    assert key == "PRIMARY KEY (global_position)"


@pytest.mark.parametrize(
    ("condition", "index"),
    [
        ("stream_name = 'account-1' AND position >= 5", "messages_stream"),
        ("message_store.category(stream_name) = 'account'", "messages_category"),
        (
            "message_store.category(stream_name) = 'account' AND global_position >= 5 "
            "AND message_store.category(metadata ->> 'correlationStreamName') = 'shop'",
            "messages_category",
        ),
    ],
)
def test_reads_find_their_index(client: Client, condition: str, index: str) -> None:
    # Enough for the planner to tell the indexes apart.
    client.execute(
        "INSERT INTO message_store.messages (stream_name, type, position) SELECT "
        "format('category%s-%s', number % 20, number % 100), 'T', number "
        "FROM generate_series(1, 2000) AS number"
    )
    client.execute("ANALYZE message_store.messages")
    sql = f"EXPLAIN (COSTS OFF) SELECT * FROM message_store.messages WHERE {condition}"

    plan = "\n".join(client.execute(sql).scalars())

    assert index in plan
    assert "Filter" not in plan
