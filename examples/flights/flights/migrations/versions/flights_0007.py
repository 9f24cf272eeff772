"""Upgrade the message store to version 0004."""

from mdb_sqla import migrations

revision = "flights_0007"
down_revision = "flights_0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migrations.upgrade("0004")


def downgrade() -> None:
    migrations.downgrade("0003")
