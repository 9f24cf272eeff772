"""What the role `message_store` needs to consume, with the table of `message_store_0004`."""

from mdb_sqla import revisions

revision = "message_store_role_0004"
down_revision = "message_store_role_0003"
branch_labels = None
depends_on = "message_store_0004"


def upgrade() -> None:
    revisions.run(revision, "grant")


def downgrade() -> None:
    revisions.refuse_loss(revision)
    revisions.run(revision, "revoke")
