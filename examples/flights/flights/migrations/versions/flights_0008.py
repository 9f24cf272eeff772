"""Upgrade the message store to version 0005."""

from mdb_sqla import migrations

revision = "flights_0008"
down_revision = "flights_0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migrations.upgrade("0005")


def downgrade() -> None:
    migrations.downgrade("0004")
