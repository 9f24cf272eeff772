"""The roles `message_store_reader`, `_writer` and `_consumer`, for what an application does."""

from mdb_sqla.migrations import revision_support

revision = "message_store_role_0005"
down_revision = "message_store_role_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    revision_support.run(revision, "create_roles", "grant")


def downgrade() -> None:
    revision_support.refuse_loss(revision)
    revision_support.run(revision, "revoke", "drop_roles")
