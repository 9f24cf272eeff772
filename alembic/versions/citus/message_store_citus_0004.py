"""Distributes the messages of a new store by category, with Citus."""

from mdb_sqla.migrations import revision_support

revision = "message_store_citus_0004"
down_revision = None
branch_labels = ("message_store_citus",)
depends_on = "message_store_0004"
is_irreversible = True


def upgrade() -> None:
    revision_support.run(
        revision,
        "steps/check_version",
        "tables/messages",
        "tables/two_phase_commits",
        "functions/refuse_on_citus",
        "functions/refuse_rows",
        "tables/triggers",
        "functions/lock_shard",
        "functions/write_category",
        "functions/write_messages",
        "functions/write_message",
        "functions/stream_version",
        "functions/get_stream_messages",
        "functions/get_last_stream_message",
        "functions/get_category_messages",
        "functions/get_messages",
        "functions/get_query_messages",
        "functions/settled_position",
        "functions/unmet_condition",
        "functions/prepare_copy",
        "functions/acquire_lock",
        "functions/take_floor",
        "functions/lock_streams",
        "functions/lock_granularity",
        "functions/set_lock_granularity",
        "functions/last_global_position",
        "functions/read_bound",
        "functions/lock_deletions",
        "functions/expired_messages",
        "functions/erase_stream",
        "steps/open_to_all",
        "steps/distribute",
    )


def downgrade() -> None:
    revision_support.run(revision, "steps/refuse_downgrade")
