"""The table of fees for departures."""

import sqlalchemy as sa
from alembic import op

revision = "flights_0004"
down_revision = "flights_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "fees",
        sa.Column("tail_number", sa.String(), nullable=False),
        sa.Column("departures", sa.Integer(), nullable=False),
        sa.Column("cents", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tail_number"),
    )


def downgrade() -> None:
    op.drop_table("fees")
