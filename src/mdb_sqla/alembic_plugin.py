"""An Alembic plug-in that keeps autogenerate away from the store's own tables and history.

The store's revisions own them, and no application's metadata has them, so that `alembic check` and
`revision --autogenerate` would propose to drop them wherever they look into the store's schema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

# Alembic loads this module while it is being imported itself, so nothing of it is imported up here.
if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.ops import MigrateOperation, UpgradeOps
    from alembic.runtime.plugins import Plugin
    from alembic.util import PriorityDispatchResult

__all__ = ["setup"]

_TABLES = {
    "messages",
    "consumer_slots",
    "consumer_members",
    "consumers",
    "dead_letters",
    "mdb_sqla_version",
}


def setup(plugin: Plugin) -> None:
    """Register the comparator; Alembic calls this for the entry point."""
    from alembic.util import DispatchPriority

    plugin.add_autogenerate_comparator(
        _remove_own_tables,
        "autogenerate",
        qualifier="postgresql",
        priority=DispatchPriority.LAST,
    )
    plugin.add_autogenerate_comparator(
        _refuse_own_history, "autogenerate", priority=DispatchPriority.FIRST
    )


def _refuse_own_history(autogen_context: AutogenContext, _: UpgradeOps) -> PriorityDispatchResult:
    """Refuse a revision of the application's that would follow one of ours, in our own folder.

    Alembic makes it so where the application has no revision yet and names no head.
    """
    from alembic.util import CommandError, PriorityDispatchResult

    environment = autogen_context.migration_context.environment_context
    options = environment.config.cmd_opts if environment else None
    # Only the command that makes a revision has this option.
    if environment is not None and options is not None and "head" in options:
        for script in environment.script.get_revisions(options.head or "head"):
            if script is not None and "message_store" in script.branch_labels:
                raise CommandError(
                    "The new revision would become part of the history of mdb_sqla. For the first "
                    "of your own pass --head base, --version-path and --branch-label, later "
                    "--head LABEL@head"
                )
    return PriorityDispatchResult.CONTINUE


def _remove_own_tables(
    autogen_context: AutogenContext, upgrade_ops: UpgradeOps
) -> PriorityDispatchResult:
    from alembic.util import PriorityDispatchResult
    from sqlalchemy import text

    from mdb_sqla.migrations.revision_support import configured_schema

    context = autogen_context.migration_context
    store_schema = configured_schema(context)
    # Without a schema, Alembic means what the search_path leads to.
    found = text(
        "SELECT nspname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace "
        "WHERE pg_class.oid = to_regclass(quote_ident(:name))"
    )
    assert context.connection is not None  # noqa: S101 (there is no comparison without one)
    schemas = {name: context.connection.scalar(found, {"name": name}) for name in _TABLES}

    def is_own(operation: MigrateOperation) -> bool:
        name = getattr(operation, "table_name", None)
        if name not in _TABLES:
            return False
        return bool((getattr(operation, "schema", None) or schemas[name]) == store_schema)

    upgrade_ops.ops[:] = [operation for operation in upgrade_ops.ops if not is_own(operation)]
    return PriorityDispatchResult.CONTINUE
