"""Reads of categories find out by the locks of the categories whether anyone is writing to them."""

from mdb_sqla.migrations import revision_support

revision = "message_store_0005"
down_revision = "message_store_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    revision_support.run(
        revision, "steps/check_version", "functions/read_bound", "steps/record_version"
    )


def downgrade() -> None:
    revision_support.refuse_loss(revision)
    revision_support.run(down_revision, "functions/read_bound")
    revision_support.run(revision, "steps/record_previous")
