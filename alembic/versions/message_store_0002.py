"""Retention and erasure: policies, the log of deletions, streams that continue, and keys."""

from mdb_sqla.migrations import revision_support

revision = "message_store_0002"
down_revision = "message_store_0001"
branch_labels = None
depends_on = None
deletes = ("retention", "keys")

_REPLACED = (
    "functions/stream_version",
    "functions/lock_streams",
    "functions/refuse_version",
    "functions/write_message",
    "functions/write_messages",
)


def upgrade() -> None:
    revision_support.run(
        revision,
        "steps/check_version",
        "tables/stream_heads",
        "tables/deleted_positions",
        "tables/retention_policies",
        "tables/deletions",
        "tables/subject_keys",
        "functions/check_deletions",
        "functions/lock_deletions",
        "functions/delete_messages",
        "functions/expired_messages",
        "functions/restore_messages",
        "functions/finish_restore",
        "functions/erase_stream",
        "functions/refuse_change",
        *_REPLACED,
        "steps/autovacuum",
        "steps/open_to_all",
        "steps/record_version",
    )


def downgrade() -> None:
    revision_support.refuse_loss(revision)
    revision_support.run(down_revision, *_REPLACED, replace=True)
    revision_support.run(revision, "steps/drop")
