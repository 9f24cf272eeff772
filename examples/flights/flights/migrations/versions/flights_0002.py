"""Install the message store."""

from mdb_sqla import migrations

revision = "flights_0002"
down_revision = "flights_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migrations.upgrade("0001")


def downgrade() -> None:
    migrations.downgrade("base")
