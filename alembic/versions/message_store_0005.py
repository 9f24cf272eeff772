"""Reads of categories try their locks first, and take less planning with a condition."""

from mdb_sqla.migrations import revision_support

revision = "message_store_0005"
down_revision = "message_store_0004"
branch_labels = None
depends_on = None

_REPLACED = {
    "message_store_0001": ("functions/conditional_command",),
    "message_store_0004": ("functions/read_bound", "functions/get_category_messages"),
}
"""Functions by the version that they are from in a store of version 0004."""


def upgrade() -> None:
    revision_support.run(
        revision,
        "steps/check_version",
        *(function for functions in _REPLACED.values() for function in functions),
        "steps/record_version",
    )


def downgrade() -> None:
    revision_support.refuse_loss(revision)
    for version, functions in _REPLACED.items():
        revision_support.run(version, *functions, replace=True)
    revision_support.run(revision, "steps/record_previous")
