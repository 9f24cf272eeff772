"""A filter that hides the store's tables, and those of projections' versions, from autogenerate.

The tables belong to the store's revisions, or are made by `projections.rebuild`, and are not part
of an application's metadata. Without the filter, `alembic check` and `revision --autogenerate`
would propose to drop them if they inspect their schema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

# Alembic loads this module while Alembic itself is being imported, so don't import it at the top.
if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.ops import MigrateOperation, UpgradeOps
    from alembic.runtime.plugins import Plugin
    from alembic.util import PriorityDispatchResult

__all__ = ["register"]

_TABLES = {
    "messages",
    "consumer_slots",
    "consumer_members",
    "consumers",
    "dead_letters",
    "stream_heads",
    "deleted_positions",
    "retention_policies",
    "deletions",
    "subject_keys",
    "operations",
    "two_phase_commits",
    "mdb_sqla_version",
}

# The comment of such a table begins with `projections.versions.MARKER`. An operation without a
# schema refers to the first such table in the search path.
_OF_VERSIONS = """
    SELECT nspname::text, relname::text
    FROM pg_description
    JOIN pg_class ON pg_class.oid = objoid AND classoid = CAST('pg_class' AS regclass)
    JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE objsubid = 0 AND starts_with(description, 'mdb_sqla: projection ')
    UNION ALL
    SELECT NULL, relname::text
    FROM pg_description
    JOIN pg_class ON pg_class.oid = objoid AND classoid = CAST('pg_class' AS regclass)
    WHERE objsubid = 0 AND starts_with(description, 'mdb_sqla: projection ')
      AND pg_table_is_visible(pg_class.oid)
"""


def register(plugin: Plugin) -> None:
    """Register the comparator."""
    from alembic.util import DispatchPriority

    plugin.add_autogenerate_comparator(
        _remove_store_tables,
        "autogenerate",
        qualifier="postgresql",
        priority=DispatchPriority.LAST,
    )


def _remove_store_tables(
    autogen_context: AutogenContext, upgrade_ops: UpgradeOps
) -> PriorityDispatchResult:
    from alembic.util import PriorityDispatchResult
    from sqlalchemy import text

    from mdb_sqla.migrations.revision_support import configured_schema

    context = autogen_context.migration_context
    store_schema = configured_schema(context)
    # An operation without a schema refers to the first such table in the search path.
    found = text(
        "SELECT nspname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace "
        "WHERE pg_class.oid = to_regclass(quote_ident(:name))"
    )
    assert context.connection is not None  # noqa: S101 (a comparison needs a connection)
    schemas = {name: context.connection.scalar(found, {"name": name}) for name in _TABLES}
    of_versions = {tuple(row) for row in context.connection.execute(text(_OF_VERSIONS))}

    def is_hidden(operation: MigrateOperation) -> bool:
        name = getattr(operation, "table_name", None)
        schema = getattr(operation, "schema", None)
        if name not in _TABLES:
            return (schema, name) in of_versions
        return bool((schema or schemas[name]) == store_schema)

    upgrade_ops.ops[:] = [each for each in upgrade_ops.ops if not is_hidden(each)]
    return PriorityDispatchResult.CONTINUE
