"""The role `message_store` and its privileges, for clients of Message DB in other languages."""

from mdb_sqla import revisions

revision = "message_store_role_0001"
down_revision = None
branch_labels = ("message_store_role",)
depends_on = "message_store_0001"


def upgrade() -> None:
    revisions.run(revision, "grant")


def downgrade() -> None:
    revisions.refuse_loss(revision)
    revisions.run(revision, "revoke")
