"""Reads of categories try the locks of the categories first; those with a condition plan less."""

from mdb_sqla.migrations import revision_support

revision = "message_store_0005"
down_revision = "message_store_0004"
branch_labels = None
depends_on = None

_REPLACED = ("functions/read_bound", "functions/get_category_messages")


def upgrade() -> None:
    revision_support.run(revision, "steps/check_version", *_REPLACED, "steps/record_version")


def downgrade() -> None:
    revision_support.refuse_loss(revision)
    revision_support.run(down_revision, *_REPLACED)
    revision_support.run(revision, "steps/record_previous")
