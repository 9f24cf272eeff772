"""Where consumers keep their positions, share their work and set messages aside."""

from mdb_sqla.migrations import revision_support

revision = "message_store_0003"
down_revision = "message_store_0002"
branch_labels = None
depends_on = None
deletes = "consumers"


def upgrade() -> None:
    revision_support.run(revision, "consumer_slots", "consumer_members", "dead_letters")


def downgrade() -> None:
    revision_support.refuse_loss(revision)
    revision_support.run(revision, "drop")
