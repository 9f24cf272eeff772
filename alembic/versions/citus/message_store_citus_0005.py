"""On Citus, there are no reads for which the store's revision 0005 changes the bound."""

from mdb_sqla.migrations import revision_support

revision = "message_store_citus_0005"
down_revision = "message_store_citus_0004"
branch_labels = None
depends_on = "message_store_0005"
is_irreversible = True


def upgrade() -> None:
    revision_support.run(down_revision, "functions/read_bound")


def downgrade() -> None:
    revision_support.run(down_revision, "steps/refuse_downgrade")
