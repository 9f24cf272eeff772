"""Upgrade the message store."""

from mdb_sqla import migrations

revision = "flights_0005"
down_revision = "flights_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migrations.upgrade("0002")


def downgrade() -> None:
    migrations.downgrade("0001")
