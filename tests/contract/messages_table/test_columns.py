from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.contract.client import Client

COLUMNS = [
    (
        "global_position",
        "bigint",
        "not null",
        "nextval('message_store.messages_global_position_seq'::regclass)",
    ),
    ("position", "bigint", "not null", None),
    ("time", "timestamp without time zone", "not null", "(now() AT TIME ZONE 'utc'::text)"),
    ("stream_name", "text", "not null", None),
    ("type", "text", "not null", None),
    ("data", "jsonb", "null", None),
    ("metadata", "jsonb", "null", None),
    ("id", "uuid", "not null", "gen_random_uuid()"),
]


def test_columns(client: Client) -> None:
    columns = client.rows(
        "SELECT attname, format_type(atttypid, atttypmod),"
        " CASE WHEN attnotnull THEN 'not null' ELSE 'null' END,"
        " pg_get_expr(adbin, adrelid) "
        "FROM pg_attribute "
        "LEFT JOIN pg_attrdef ON (adrelid, adnum) = (attrelid, attnum) "
        "WHERE attrelid = 'message_store.messages'::regclass AND attnum > 0 "
        "ORDER BY attnum"
    )

    assert columns == COLUMNS


def test_sequence_belongs_to_the_global_position(client: Client) -> None:
    sequence = client.value(
        "SELECT pg_get_serial_sequence('message_store.messages', 'global_position')"
    )

    assert sequence == "message_store.messages_global_position_seq"


def test_no_extension_is_needed(client: Client) -> None:
    extensions = client.execute("SELECT extname FROM pg_extension").scalars().all()

    assert extensions == ["plpgsql"]
