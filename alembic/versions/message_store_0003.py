"""Where consumers keep their positions, share their work and set messages aside."""

from mdb_sqla import revisions

revision = "message_store_0003"
down_revision = "message_store_0002"
branch_labels = None
depends_on = None
deletes = "consumers"


def upgrade() -> None:
    revisions.run(revision, "consumer_slots", "consumer_members", "dead_letters")


def downgrade() -> None:
    revisions.refuse_loss(revision)
    revisions.run(revision, "drop")
