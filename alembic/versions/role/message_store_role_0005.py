"""The store's revision 0005 adds nothing that needs privileges."""

from mdb_sqla.migrations import revision_support

revision = "message_store_role_0005"
down_revision = "message_store_role_0004"
branch_labels = None
depends_on = "message_store_0005"


def upgrade() -> None:
    pass


def downgrade() -> None:
    revision_support.refuse_loss(revision)
