"""A filter that hides the store's tables from autogenerate.

The tables belong to the store's revisions and are not part of an application's metadata. Without
the filter, `alembic check` and `revision --autogenerate` would propose to drop them if they inspect
the store's schema.
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
    "mdb_sqla_version",
}


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

    def is_store_table(operation: MigrateOperation) -> bool:
        name = getattr(operation, "table_name", None)
        if name not in _TABLES:
            return False
        return bool((getattr(operation, "schema", None) or schemas[name]) == store_schema)

    upgrade_ops.ops[:] = [each for each in upgrade_ops.ops if not is_store_table(each)]
    return PriorityDispatchResult.CONTINUE
