"""What the role `message_store` needs for the functions of `message_store_0002`."""

from mdb_sqla.migrations import revision_support

revision = "message_store_role_0002"
down_revision = "message_store_role_0001"
branch_labels = None
depends_on = "message_store_0002"


def upgrade() -> None:
    revision_support.run(revision, "grant")


def downgrade() -> None:
    revision_support.refuse_loss(revision)
    revision_support.run(revision, "revoke")
