"""The message store: table, type, indexes, functions and views of server contract 1.3.0."""

from mdb_sqla.migrations import revision_support

revision = "message_store_0001"
down_revision = None
branch_labels = ("message_store",)
depends_on = None
deletes = "messages"

_OBJECTS = (
    "schema",
    "category",
    "id",
    "cardinal_id",
    "is_category",
    "hash_64",
    "message_store_version",
    "messages",
    "message",
    "indexes",
    "error_code",
    "use_error_codes",
    "boolean_setting",
    "is_on",
    "acquire_lock",
    "stream_version",
    "write_message",
    "conditional_command",
    "get_stream_messages",
    "get_category_messages",
    "get_last_stream_message",
    "stream_summary",
    "type_summary",
    "stream_type_summary",
    "type_stream_summary",
    "category_type_summary",
    "type_category_summary",
)


def upgrade() -> None:
    revision_support.run(revision, "adopt", *_OBJECTS, "managed")


def downgrade() -> None:
    revision_support.refuse_loss(revision)
    revision_support.run(revision, "drop", "drop_schema")
