"""The role `message_store`, for clients in other languages, and three roles for applications."""

from mdb_sqla.migrations import revision_support

revision = "message_store_role_0001"
down_revision = None
branch_labels = ("message_store_role",)
depends_on = "message_store_0001"


def upgrade() -> None:
    revision_support.run(revision, "create_roles", "grant")


def downgrade() -> None:
    revision_support.refuse_loss(revision)
    revision_support.run(revision, "revoke", "drop_roles")
