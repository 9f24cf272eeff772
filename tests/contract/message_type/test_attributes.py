from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.contract.client import Client

ATTRIBUTES = [
    ("id", "character varying"),
    ("stream_name", "character varying"),
    ("type", "character varying"),
    ("position", "bigint"),
    ("global_position", "bigint"),
    ("data", "character varying"),
    ("metadata", "character varying"),
    ("time", "timestamp without time zone"),
]


def test_attributes_and_their_order(client: Client) -> None:
    attributes = client.rows(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = 'message_store.message'::regclass AND attnum > 0 ORDER BY attnum"
    )

    assert attributes == ATTRIBUTES
