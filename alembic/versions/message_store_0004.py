"""Append conditions: writes that fail if other messages match a query, reads by query, and tags."""

from mdb_sqla.migrations import revision_support

revision = "message_store_0004"
down_revision = "message_store_0003"
branch_labels = None
depends_on = None

_REPLACED = "functions/lock_streams"


def upgrade() -> None:
    revision_support.run(
        revision,
        "steps/check_version",
        "tables/indexes",
        _REPLACED,
        "functions/query_items",
        "functions/check_query",
        "functions/find_matches",
        "functions/get_query_messages",
        "functions/unmet_condition",
        "functions/check_conditions",
        "functions/write_conditionally",
        "steps/open_to_all",
        "steps/record_version",
    )


def downgrade() -> None:
    revision_support.refuse_loss(revision)
    revision_support.run("message_store_0002", _REPLACED, replace=True)
    revision_support.run(revision, "steps/drop")
