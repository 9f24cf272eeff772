"""Upgrade the message store to version 0003."""

from mdb_sqla import migrations

revision = "flights_0006"
down_revision = "flights_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migrations.upgrade("0003")


def downgrade() -> None:
    migrations.downgrade("0002")
