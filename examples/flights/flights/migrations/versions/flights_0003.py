"""The tables that the consumers maintain."""

import sqlalchemy as sa
from alembic import op

revision = "flights_0003"
down_revision = "flights_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "airports",
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("departures", sa.Integer(), nullable=False),
        sa.Column("arrivals", sa.Integer(), nullable=False),
        sa.Column("minutes_late", sa.Integer(), nullable=False),
        sa.Column("longest_delay", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("code"),
    )
    op.create_table(
        "maintenance",
        sa.Column("tail_number", sa.String(), nullable=False),
        sa.Column("arrivals", sa.Integer(), nullable=False),
        sa.Column("due", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tail_number"),
    )


def downgrade() -> None:
    op.drop_table("maintenance")
    op.drop_table("airports")
