"""The tables of aircraft and airlines."""

import sqlalchemy as sa
from alembic import op

revision = "flights_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "aircraft",
        sa.Column("tail_number", sa.String(), nullable=False),
        sa.Column("airport", sa.String(), nullable=True),
        sa.Column("departed", sa.Integer(), nullable=False),
        sa.Column("arrived", sa.Integer(), nullable=False),
        sa.Column("diverted", sa.Integer(), nullable=False),
        sa.Column("cancelled", sa.Integer(), nullable=False),
        sa.Column("minutes_late", sa.Integer(), nullable=False),
        sa.Column("last_delay", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("tail_number"),
    )
    op.create_table(
        "airlines",
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("cancelled", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("code"),
    )


def downgrade() -> None:
    op.drop_table("airlines")
    op.drop_table("aircraft")
