"""Where consumers tell what they read, so that their lag can be told without them."""

from mdb_sqla import revisions

revision = "message_store_0004"
down_revision = "message_store_0003"
branch_labels = None
depends_on = None
deletes = "consumers"


def upgrade() -> None:
    revisions.run(revision, "consumers")


def downgrade() -> None:
    revisions.refuse_loss(revision)
    revisions.run(revision, "drop")
