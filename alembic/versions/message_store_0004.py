"""Append conditions: writes that fail if other messages match a query, reads by query, and tags.

Reads of categories that find nothing return early, and plan less.
"""

from mdb_sqla.migrations import revision_support

revision = "message_store_0004"
down_revision = "message_store_0003"
branch_labels = None
depends_on = None

_REPLACED = {
    "message_store_0001": (
        "functions/get_category_messages",
        "functions/get_messages",
        "functions/read_bound",
    ),
    "message_store_0002": ("functions/lock_streams",),
}
"""Functions by the version that an earlier store has them from."""


def upgrade() -> None:
    revision_support.run(
        revision,
        "steps/check_version",
        "tables/indexes",
        "functions/query_items",
        "functions/check_query",
        "functions/find_matches",
        "functions/get_query_messages",
        "functions/unmet_condition",
        "functions/check_conditions",
        "functions/write_conditionally",
        "functions/locks_categories",
        *(function for functions in _REPLACED.values() for function in functions),
        "steps/open_to_all",
        "steps/record_version",
    )


def downgrade() -> None:
    revision_support.refuse_loss(revision)
    for version, functions in _REPLACED.items():
        revision_support.run(version, *functions, replace=True)
    revision_support.run(revision, "steps/drop")
