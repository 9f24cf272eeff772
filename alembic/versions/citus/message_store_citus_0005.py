"""The functions of Citus that the store's revision 0005 has replaced, as they were."""

from mdb_sqla.migrations import revision_support

revision = "message_store_citus_0005"
down_revision = "message_store_citus_0004"
branch_labels = None
depends_on = "message_store_0005"
is_irreversible = True


def upgrade() -> None:
    revision_support.run(down_revision, "functions/read_bound", "functions/get_category_messages")


def downgrade() -> None:
    revision_support.run(down_revision, "steps/refuse_downgrade")
