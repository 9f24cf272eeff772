"""Writers of one category side by side, exact reads of several categories, batches of writes."""

from mdb_sqla.migrations import revision_support

revision = "message_store_0002"
down_revision = "message_store_0001"
branch_labels = None
depends_on = None

_CHANGED = (
    "acquire_lock",
    "write_message",
    "get_stream_messages",
    "get_category_messages",
    "get_last_stream_message",
)
_NEW = (
    "lock_granularity",
    "granularity_of_snapshot",
    "set_lock_granularity",
    "last_global_position",
    "take_floor",
    "lock_streams",
    "refuse_version",
    "check_filters",
    "is_member",
    "read_bound",
    "settled_position",
    "get_messages",
    "message_entries",
    "find_repeats",
    "write_messages",
    "prepare_copy",
)


def upgrade() -> None:
    revision_support.run(revision, "sequence", *_NEW, *_CHANGED, "internal")


def downgrade() -> None:
    revision_support.refuse_loss(revision)
    revision_support.run("message_store_0001", *_CHANGED)
    revision_support.run(revision, "drop")
