"""Where consumers tell what they read, so that their lag can be told without them."""

from mdb_sqla.migrations import revision_support

revision = "message_store_0004"
down_revision = "message_store_0003"
branch_labels = None
depends_on = None
deletes = "consumers"


def upgrade() -> None:
    revision_support.run(revision, "consumers")


def downgrade() -> None:
    revision_support.refuse_loss(revision)
    revision_support.run(revision, "drop")
