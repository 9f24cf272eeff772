"""What the role `message_store` needs for the functions of `message_store_0002`."""

from mdb_sqla import revisions

revision = "message_store_role_0002"
down_revision = "message_store_role_0001"
branch_labels = None
depends_on = "message_store_0002"


def upgrade() -> None:
    revisions.run(revision, "grant")


def downgrade() -> None:
    revisions.refuse_loss(revision)
    revisions.run(revision, "revoke")
