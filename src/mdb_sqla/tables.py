"""The tables and report views of a store, for use in any SQLAlchemy statement.

They have a separate `MetaData`. The store's revisions manage it, so do not add it to your
`target_metadata`. To use another schema, set the execution option
`schema_translate_map={"message_store": "events"}`, which also applies to the server functions. None
means the first schema of the search path.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Identity,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    Uuid,
    func,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from mdb_sqla.column_types import Instant, UTCDateTime

__all__ = [
    "SCHEMA",
    "category_type_summary",
    "consumer_members",
    "consumer_slots",
    "consumers",
    "dead_letters",
    "deleted_positions",
    "deletions",
    "messages",
    "metadata",
    "operations",
    "retention_policies",
    "stream_heads",
    "stream_summary",
    "stream_type_summary",
    "subject_keys",
    "type_category_summary",
    "type_stream_summary",
    "type_summary",
]

SCHEMA = "message_store"

metadata = MetaData(schema=SCHEMA)

messages = Table(
    "messages",
    metadata,
    Column("global_position", BigInteger, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("time", UTCDateTime, nullable=False, server_default=func.timezone("utc", func.now())),
    Column("stream_name", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("data", JSONB(none_as_null=True)),
    Column("metadata", JSONB(none_as_null=True)),
    Column("id", Uuid, nullable=False, server_default=func.gen_random_uuid()),
)


consumer_slots = Table(
    "consumer_slots",
    metadata,
    Column("consumer", Text, primary_key=True),
    Column("slot", Integer, primary_key=True, autoincrement=False),
    Column("slots", Integer, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("token", BigInteger, nullable=False, server_default="0"),
    Column("owner", Text),
    Column("updated_at", Instant, nullable=False, server_default=func.clock_timestamp()),
)

consumer_members = Table(
    "consumer_members",
    metadata,
    Column("consumer", Text, primary_key=True),
    Column("member", Text, primary_key=True),
    Column("instance", Uuid, nullable=False),
    Column("lease", Interval, nullable=False),
    Column("alive_until", Instant, nullable=False),
)

consumers = Table(
    "consumers",
    metadata,
    Column("consumer", Text, primary_key=True),
    Column("categories", ARRAY(Text), nullable=False),
    Column("types", ARRAY(Text)),
    Column("correlation", Text),
    Column("condition", Text),
    Column("start", BigInteger, nullable=False),
    Column("updated_at", Instant, nullable=False, server_default=func.clock_timestamp()),
    Column("paused_at", Instant),
    Column("paused_by", Text),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("consumer", Text, primary_key=True),
    Column("global_position", BigInteger, primary_key=True, autoincrement=False),
    Column("slot", Integer, nullable=False),
    Column("stream_name", Text, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("failed", Boolean, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("error", Text),
    Column("traceback", Text),
    Column("dead_lettered_at", Instant, nullable=False, server_default=func.clock_timestamp()),
)

stream_heads = Table(
    "stream_heads",
    metadata,
    Column("stream_name", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
)

deleted_positions = Table(
    "deleted_positions",
    metadata,
    Column("category", Text, primary_key=True),
    Column("global_position", BigInteger, nullable=False),
    Column("keeps_versions", Boolean, nullable=False, server_default=true()),
)

retention_policies = Table(
    "retention_policies",
    metadata,
    Column("category", Text, primary_key=True),
    Column("keep_age", Interval),
    Column("keep_last", BigInteger),
    Column("keep_versions", Boolean, nullable=False, server_default=true()),
    Column("archive", Text),
    Column("archive_format", Text, nullable=False, server_default="jsonl"),
    Column("updated_at", Instant, nullable=False, server_default=func.clock_timestamp()),
)

deletions = Table(
    "deletions",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False, server_default="retention"),
    Column("category", Text),
    Column("stream_name", Text),
    Column("subject", Text),
    Column("reason", Text, nullable=False),
    Column("archive", Text),
    Column("messages", BigInteger),
    Column("first_global_position", BigInteger),
    Column("last_global_position", BigInteger),
    Column("deleted_by", Text, nullable=False, server_default=func.session_user()),
    Column("started_at", Instant, nullable=False, server_default=func.clock_timestamp()),
    Column("updated_at", Instant, nullable=False, server_default=func.clock_timestamp()),
)

subject_keys = Table(
    "subject_keys",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("key", LargeBinary),
    Column("created_at", Instant, nullable=False, server_default=func.clock_timestamp()),
    Column("forgotten_at", Instant),
)

operations = Table(
    "operations",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text),
    Column("details", JSONB, nullable=False, server_default="{}"),
    Column("performed_by", Text, nullable=False, server_default=func.session_user()),
    Column("role", Text, nullable=False, server_default=func.session_user()),
    Column("performed_at", Instant, nullable=False, server_default=func.clock_timestamp()),
)


def _report(name: str, *columns: str) -> Table:
    return Table(
        name,
        metadata,
        *(Column(column, Text) for column in columns),
        Column("message_count", BigInteger),
        Column("percent", Numeric),
    )


stream_summary = _report("stream_summary", "stream_name")
type_summary = _report("type_summary", "type")
stream_type_summary = _report("stream_type_summary", "stream_name", "type")
type_stream_summary = _report("type_stream_summary", "type", "stream_name")
category_type_summary = _report("category_type_summary", "category", "type")
type_category_summary = _report("type_category_summary", "type", "category")
