"""The message store: its messages, functions and reports, and the tables of consumers."""

from mdb_sqla.migrations import revision_support

revision = "message_store_0001"
down_revision = None
branch_labels = ("message_store",)
depends_on = None
deletes = ("messages", "consumers")

# Each after those that it needs: PostgreSQL keeps track of what the body of an SQL function calls.
_OBJECTS = (
    "functions/category",
    "functions/id",
    "functions/cardinal_id",
    "functions/is_category",
    "functions/hash_64",
    "functions/message_store_version",
    "tables/messages",
    "tables/message",
    "tables/indexes",
    "functions/boolean_setting",
    "functions/is_on",
    "functions/lock_granularity",
    "functions/granularity_of_snapshot",
    "functions/set_lock_granularity",
    "functions/last_global_position",
    "functions/take_floor",
    "functions/acquire_lock",
    "functions/lock_streams",
    "functions/stream_version",
    "functions/refuse_version",
    "functions/write_message",
    "functions/message_entries",
    "functions/find_repeats",
    "functions/write_messages",
    "functions/prepare_copy",
    "functions/conditional_command",
    "functions/check_filters",
    "functions/is_member",
    "functions/read_bound",
    "functions/settled_position",
    "functions/get_stream_messages",
    "functions/get_last_stream_message",
    "functions/get_category_messages",
    "functions/get_messages",
    "reports/stream_summary",
    "reports/type_summary",
    "reports/stream_type_summary",
    "reports/type_stream_summary",
    "reports/category_type_summary",
    "reports/type_category_summary",
    "tables/consumer_slots",
    "tables/consumer_members",
    "tables/consumers",
    "tables/dead_letters",
)


def upgrade() -> None:
    revision_support.run(
        revision,
        "steps/schema",
        "steps/adopt",
        *_OBJECTS,
        "steps/sequence",
        "steps/open_to_all",
        "steps/choose_granularity",
        "steps/record_version",
    )


def downgrade() -> None:
    revision_support.refuse_loss(revision)
    revision_support.run(revision, "steps/drop", "steps/drop_schema")
