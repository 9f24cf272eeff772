"""What the role `message_store` needs to consume, with the table of `message_store_0004`."""

from mdb_sqla.migrations import revision_support

revision = "message_store_role_0004"
down_revision = "message_store_role_0003"
branch_labels = None
depends_on = "message_store_0004"


def upgrade() -> None:
    revision_support.run(revision, "grant")


def downgrade() -> None:
    revision_support.refuse_loss(revision)
    revision_support.run(revision, "revoke")
