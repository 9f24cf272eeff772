"""The privileges of the roles on what the store's revision 0004 adds."""

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
