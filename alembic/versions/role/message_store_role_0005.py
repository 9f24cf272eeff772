"""The roles `message_store_reader`, `_writer` and `_consumer`, for what an application does."""

from mdb_sqla import revisions

revision = "message_store_role_0005"
down_revision = "message_store_role_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    revisions.run(revision, "create_roles", "grant")


def downgrade() -> None:
    revisions.refuse_loss(revision)
    revisions.run(revision, "revoke", "drop_roles")
