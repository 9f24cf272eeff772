"""Pauses of consumers, the log of operations, and an index of dead letters."""

from mdb_sqla.migrations import revision_support

revision = "message_store_0003"
down_revision = "message_store_0002"
branch_labels = None
depends_on = None
deletes = ("operations",)


def upgrade() -> None:
    revision_support.run(
        revision,
        "steps/check_version",
        "tables/consumers",
        "tables/operations",
        "tables/indexes",
        "tables/dead_letter_index",
        "steps/open_to_all",
        "steps/record_version",
    )


def downgrade() -> None:
    revision_support.refuse_loss(revision)
    revision_support.run(revision, "steps/drop")
