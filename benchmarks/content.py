"""The messages that are written and read."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.types.json import Jsonb

__all__ = ["DATA", "METADATA", "TYPE", "fill"]

TYPE = "Placed"

DATA: dict[str, Any] = {
    "orderId": "c3f2a1d0-77c5-4a0e-9f6d-2b8f3f7f9a11",
    "customer": "Ada Lovelace",
    "total": 120.5,
    "items": [{"sku": "A-100", "count": 2}, {"sku": "B-7", "count": 1}],
}

METADATA: dict[str, Any] = {"correlationStreamName": "checkout-42", "schemaVersion": "1"}

_FILL = b"""
    INSERT INTO message_store.messages (stream_name, position, type, data, metadata)
    SELECT
      format('category%%s-%%s', n %% %(categories)s, n / %(categories)s / 10),
      n / %(categories)s %% 10,
      %(type)s, %(data)s::jsonb, %(metadata)s::jsonb
    FROM generate_series(0, %(number)s - 1) AS n
"""


def fill(connection: psycopg.Connection[Any], number: int, categories: int) -> None:
    """Store messages in turn in `category0`, `category1`, ..., ten in each stream.

    The indexes are built at the end, which is faster and leaves their pages fuller.
    """
    indexes = connection.execute(
        "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index "
        "WHERE indrelid = 'message_store.messages'::regclass AND NOT indisprimary"
    ).fetchall()
    with connection.transaction():
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}".encode())
        parameters = {
            "number": number,
            "categories": categories,
            "type": TYPE,
            "data": Jsonb(DATA),
            "metadata": Jsonb(METADATA),
        }
        connection.execute(_FILL, parameters)
        for _, definition in indexes:
            connection.execute(definition.encode())
    connection.execute("VACUUM ANALYZE message_store.messages")
    connection.execute("CHECKPOINT")
